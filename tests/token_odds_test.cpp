#include "lm/token_odds.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/random.h"
#include "support.h"

namespace coala {
namespace {

using test::error_code_of;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> random_logits(std::size_t count, std::uint64_t seed, double spread) {
  Random random(seed);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = static_cast<float>(spread * random.normal());
  return logits;
}

/// The sum of exponentials has a relative error of at most 3e-7 (one exponential) + 16 u (the additions of a lane in
/// float, u = 2^-24) + 12 u (x - max is rounded, and of n <= 128,000 equal tokens at distance t <= ln n = 12 that
/// matters t u), so its logarithm has one of 2e-6.
TEST(TokenOdds, EqualTheSoftmaxInDouble) {
  for (const std::size_t count : {1u, 2u, 15u, 16u, 17u, 255u, 256u, 257u, 2048u, 128000u}) {
    for (const double spread : {0.0, 1.0, 10.0, 100.0}) {
      std::vector<float> logits = random_logits(count, count, spread);
      if (count > 2) logits[1] = -kInfinity;
      double largest = -1e300;
      for (const float logit : logits) largest = std::max(largest, static_cast<double>(logit));
      double sum = 0;
      double weighted = 0;
      for (const float logit : logits) {
        if (logit == -kInfinity) continue;
        const double x = static_cast<double>(logit) - largest;
        sum += std::exp(x);
        weighted += std::exp(x) * x;
      }
      for (const std::size_t token : {std::size_t{0}, count / 2, count - 1}) {
        const double expected = static_cast<double>(logits[token]) - largest - std::log(sum);
        const TokenOdds odds = token_odds(logits, static_cast<Token>(token));
        EXPECT_NEAR(odds.log_probability, expected, 2e-6) << count << " " << spread;
        // Each x is at most ln n + some units where it has weight, so its product has 1e-5 at most.
        EXPECT_NEAR(odds.entropy, std::log(sum) - weighted / sum, 1e-5) << count << " " << spread;
      }
    }
  }
  EXPECT_EQ(error_code_of([] { token_odds(std::vector<float>(5), 5); }), ErrorCode::Internal);
  EXPECT_EQ(error_code_of([] { token_odds(std::vector<float>(5), -1); }), ErrorCode::Internal);
}

TEST(TokenOdds, DivergenceEqualsItsDefinitionInDouble) {
  for (const std::size_t count : {1u, 17u, 256u, 300u, 49152u}) {
    for (const double moved : {0.0, 0.1, 1.0, 5.0}) {
      std::vector<float> own = random_logits(count, count, 3);
      std::vector<float> guided = own;
      const std::vector<float> tilt = random_logits(count, count + 1, moved);
      for (std::size_t i = 0; i < count; ++i) guided[i] += tilt[i];
      if (count > 2) own[1] = guided[1] = -kInfinity;
      const auto log_sum = [](const std::vector<float>& logits) {
        double sum = 0;
        for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
        return std::log(sum);
      };
      const double of_own = log_sum(own);
      const double of_guided = log_sum(guided);
      double expected = 0;
      for (std::size_t i = 0; i < count; ++i) {
        if (own[i] == -kInfinity) continue;
        const double log_q = static_cast<double>(guided[i]) - of_guided;
        expected += std::exp(log_q) * (log_q - static_cast<double>(own[i]) + of_own);
      }
      EXPECT_NEAR(divergence(guided, own), expected, 2e-5 * (1 + expected)) << count << " " << moved;
    }
  }
  EXPECT_EQ(error_code_of([] { divergence(std::vector<float>(5), std::vector<float>(4)); }), ErrorCode::Internal);
}

}  // namespace
}  // namespace coala
