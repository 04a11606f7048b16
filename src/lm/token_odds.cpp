#include "lm/token_odds.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "core/vectorise.h"

namespace coala {
namespace {

constexpr std::size_t kLanes = 16;
/// Numbers that are added up in float; these sums are added in double.
constexpr std::size_t kStretch = 16 * kLanes;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// The largest of n logits, NaN when one is NaN or +infinity.
COALA_WIDEST_LANES float maximum_or_nan(const float* logits, std::size_t n) {
  float largest[kLanes];
  float faults[kLanes] = {};  // 0 times a number is 0, 0 times anything else is NaN
  std::fill_n(largest, kLanes, -kInfinity);
  for (std::size_t begin = 0; begin < n; begin += kLanes) {
    for (std::size_t lane = 0; lane < std::min(kLanes, n - begin); ++lane) {
      const float logit = logits[begin + lane];
      const float number = logit == -kInfinity ? 0.0f : logit;  // that one is allowed
      largest[lane] = logit > largest[lane] ? logit : largest[lane];
      faults[lane] += number * 0.0f;
    }
  }
  float maximum = -kInfinity;
  for (std::size_t lane = 0; lane < kLanes; ++lane) maximum = std::max(maximum, largest[lane]) + faults[lane];
  return maximum;
}

/// e^x for x <= 0 within 3e-7 relative: 2^n times Taylor's polynomial on [-ln 2 / 2, ln 2 / 2], whose remainder there
/// is 1.2e-7. Below -87, where e^x is under 2e-38: about that.
inline float exp_below_zero(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  const float bounded = x > -87.0f ? x : -87.0f;
  const float shifted = bounded * 1.44269504f + kRound;
  const float n = shifted - kRound;
  const float f = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts, the first exact times n
  float p = 1.0f / 720;
  p = p * f + 1.0f / 120;
  p = p * f + 1.0f / 24;
  p = p * f + 1.0f / 6;
  p = p * f + 0.5f;
  p = p * f + 1.0f;
  p = p * f + 1.0f;
  const std::uint32_t exponent = std::bit_cast<std::uint32_t>(shifted) << 23;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(p) + exponent);
}

/// Logits that are further below the largest one have no probability, and an infinity times that is no number.
inline float bounded(float x) {
  return x > -87.0f ? x : -87.0f;
}

struct Sums {
  double exponentials = 0;  ///< sum_i e^x_i, x_i = logits_i - maximum
  double weighted = 0;      ///< sum_i e^x_i (x_i - y_i)
};

/// Inlined into the functions below, so that it is compiled for each instruction set.
/// @param y_of  y of token i
template <class Y>
[[gnu::always_inline]] inline Sums add_up(const float* logits, std::size_t n, float maximum, const Y& y_of) {
  Sums sum;
  for (std::size_t begin = 0; begin < n; begin += kStretch) {
    const std::size_t end = std::min(begin + kStretch, n);
    float exponentials[kLanes] = {};
    float weighted[kLanes] = {};
    std::size_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const float x = bounded(logits[i + lane] - maximum);
        const float e = exp_below_zero(x);
        exponentials[lane] += e;
        weighted[lane] += e * (x - y_of(i + lane));
      }
    }
    for (; i < end; ++i) {
      const float x = bounded(logits[i] - maximum);
      const float e = exp_below_zero(x);
      sum.exponentials += static_cast<double>(e);
      sum.weighted += static_cast<double>(e * (x - y_of(i)));
    }
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      sum.exponentials += static_cast<double>(exponentials[lane]);
      sum.weighted += static_cast<double>(weighted[lane]);
    }
  }
  return sum;
}

/// y is 0: what entropy needs.
COALA_WIDEST_LANES Sums sum_own(const float* logits, std::size_t n, float maximum) {
  return add_up(
      logits, n, maximum, [](std::size_t) __attribute__((always_inline)) { return 0.0f; });
}

/// y_i = own_i - own_offset.
COALA_WIDEST_LANES Sums sum_against(const float* logits, float maximum, const float* own, float own_offset,
                                    std::size_t n) {
  return add_up(
      logits, n, maximum, [=](std::size_t i) __attribute__((always_inline)) { return bounded(own[i] - own_offset); });
}

}  // namespace

float largest_or_nan(std::span<const float> logits) {
  return maximum_or_nan(logits.data(), logits.size());
}

float largest_logit(std::span<const float> logits) {
  const float maximum = largest_or_nan(logits);
  if (!std::isfinite(maximum)) {
    throw Error(ErrorCode::BadInput,
                logits.empty() ? "there are no logits to draw from" : "the model's logits are not finite numbers",
                "the model file is damaged or its weights overflow; try another quantisation of it");
  }
  return maximum;
}

TokenOdds token_odds(std::span<const float> logits, Token token) {
  if (token < 0 || static_cast<std::size_t>(token) >= logits.size()) {
    throw Error(ErrorCode::Internal, fmt::format("token {} is not in a vocabulary of {}", token, logits.size()));
  }
  const float largest = largest_logit(logits);
  const Sums sum = sum_own(logits.data(), logits.size(), largest);
  const double log_sum = std::log(sum.exponentials);
  const double distance = static_cast<double>(logits[static_cast<std::size_t>(token)]) - static_cast<double>(largest);
  return {distance - log_sum, log_sum - sum.weighted / sum.exponentials, static_cast<double>(largest) + log_sum};
}

std::vector<TokenProbability> most_probable(std::span<const float> logits, std::size_t count) {
  if (count == 0) return {};
  const double normaliser = token_odds(logits, 0).log_normaliser;
  std::vector<Token> tokens(logits.size());
  std::iota(tokens.begin(), tokens.end(), Token{0});
  const auto end = tokens.begin() + static_cast<std::ptrdiff_t>(std::min(count, tokens.size()));
  const auto logit = [&](Token token) { return logits[static_cast<std::size_t>(token)]; };
  std::partial_sort(tokens.begin(), end, tokens.end(),
                    [&](Token a, Token b) { return logit(a) > logit(b) || (logit(a) == logit(b) && a < b); });
  std::vector<TokenProbability> best;
  for (auto token = tokens.begin(); token != end; ++token) {
    best.push_back({*token, static_cast<double>(logit(*token)) - normaliser});
  }
  return best;
}

double divergence(std::span<const float> guided, std::span<const float> own, const TokenOdds& of_own) {
  if (guided.size() != own.size()) throw Error(ErrorCode::Internal, "two vocabularies are compared");
  const float largest = largest_logit(guided);
  // y is taken from a float; what that rounds off the normaliser is put back.
  const auto offset = static_cast<float>(of_own.log_normaliser);
  const Sums sum = sum_against(guided.data(), largest, own.data(), offset, guided.size());
  return sum.weighted / sum.exponentials - std::log(sum.exponentials) + of_own.log_normaliser -
         static_cast<double>(offset);
}

double divergence(std::span<const float> guided, std::span<const float> own) {
  return divergence(guided, own, token_odds(own, 0));
}

}  // namespace coala
