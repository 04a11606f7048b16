#include "head/token_fit.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/random.h"
#include "linalg/blas.h"
#include "support.h"
#include "synthetic.h"

namespace coala {
namespace {

using test::error_code_of;
using test::normal_matrix;

constexpr std::size_t kRank = 4;
constexpr std::size_t kWidth = kRank * kRank + kRank;

std::shared_ptr<const TokenBasis> basis() {
  Random random(1);
  return std::make_shared<const TokenBasis>(TokenBasis{normal_matrix(kRank, 8, random), normal_matrix(kRank, 8, random),
                                                       normal_matrix(500, kRank, random),
                                                       normal_matrix(500, kRank, random)});
}

/// Pairs whose winner is drawn by a planted W; the pooled features say nothing.
FeatureSet planted_pairs(std::size_t n, const std::vector<double>& w) {
  Random random(2);
  FeatureSet set = test::pair_set(
      n, 3, [](std::span<const float>) { return 0.0; }, 7);
  Matrix<float> first = normal_matrix(n, kWidth, random);
  Matrix<float> second = normal_matrix(n, kWidth, random);
  for (std::size_t i = 0; i < n; ++i) {
    double difference = 0;
    for (std::size_t j = 0; j < w.size(); ++j) difference += w[j] * (first(i, j) - second(i, j));
    if (random.uniform() > 1 / (1 + std::exp(-difference))) std::ranges::swap_ranges(first.row(i), second.row(i));
  }
  set.token_sums_chosen = std::move(first);
  set.token_sums_rejected = std::move(second);
  set.token_basis = basis();
  return set;
}

std::vector<double> planted_weights() {
  Random random(4);
  std::vector<double> w(kRank * kRank);
  for (double& value : w) value = random.normal();
  return w;
}

double cosine(std::span<const float> a, const std::vector<double>& b) {
  double product = 0;
  double of_b = 0;
  for (std::size_t j = 0; j < b.size(); ++j) {
    product += static_cast<double>(a[j]) * b[j];
    of_b += b[j] * b[j];
  }
  return product / std::sqrt(dot(a, a) * of_b);
}

/// Cosine of W as the head has it and a planted one, but for what the bias adds to it.
double cosine_of_context(const TokenFit& fit, const std::vector<double>& w) {
  std::vector<float> found;
  for (std::size_t j = 0; j < kRank * kRank; ++j) found.push_back(static_cast<float>(fit.token.weights[j]));
  return cosine(found, w);
}

TEST(TokenFit, FindsPlantedWeights) {
  ThreadPool pool(2);
  const std::vector<double> w = planted_weights();
  const TokenFit fit = fit_token_head(planted_pairs(4000, w), {}, pool);
  EXPECT_EQ(fit.token.info.status, SolveStatus::Solved);
  EXPECT_LT(fit.token.certificate.relative_gap, 1e-6);
  EXPECT_GT(cosine_of_context(fit, w), 0.98);  // 16 weights from 4,000 pairs: an error of 0.06 each
  EXPECT_LT(fit.context_free.chosen.held_out_accuracy, 0.53) << "nothing depends on the tokens alone";
}

/// A bias is planted beside W, in a basis whose states have a direction that is nearly constant.
TEST(TokenFit, FindsABiasOfItsOwnAndPutsItIntoW) {
  ThreadPool pool(2);
  Random random(8);
  auto with_constant = std::make_shared<TokenBasis>(*basis());
  for (std::size_t i = 0; i < with_constant->sample_states.rows(); ++i) with_constant->sample_states(i, 0) = 3;
  std::vector<double> planted = planted_weights();
  for (double& w : planted) w *= 0.3;
  for (std::size_t b = 0; b < kRank; ++b) planted.push_back(random.normal());
  FeatureSet set = planted_pairs(4000, planted);
  set.token_basis = with_constant;
  const TokenFit fit = fit_token_head(set, {}, pool);
  std::vector<float> found;
  for (const double w : fit.token.weights) found.push_back(static_cast<float>(w));
  EXPECT_GT(cosine(found, planted), 0.97);
  EXPECT_FALSE(fit.bias_does);
  EXPECT_GT(fit.reliability, 0.3);
  // With h_1 = 3 always, the bias is a third of it in W's first row, and nothing of it in the others.
  const double unit = static_cast<double>(fit.head.weights(1, 0)) / fit.token.weights[kRank];
  for (std::size_t b = 0; b < kRank; ++b) {
    EXPECT_NEAR(fit.head.weights(0, b), unit * (fit.token.weights[b] + fit.token.weights[kRank * kRank + b] / 3), 1e-4);
    EXPECT_NEAR(fit.head.weights(2, b), unit * fit.token.weights[2 * kRank + b], 1e-4);
  }
}

TEST(TokenFit, IsItsBiasWhereThatIsClearlyBetter) {
  ThreadPool pool(2);
  std::vector<double> planted(kRank * kRank);
  for (std::size_t b = 0; b < kRank; ++b) planted.push_back(b == 0 ? 1.5 : 0.0);
  const FeatureSet set = planted_pairs(60, planted);
  const TokenFit fit = fit_token_head(set, {}, pool);
  // 60 pairs for 16 weights that say nothing: never behind its own baseline by more than chance.
  EXPECT_LE(fit.token.chosen.held_out_loss,
            fit.context_free.chosen.held_out_loss + 2 * fit.context_free.chosen.held_out_error);
}

TEST(TokenFit, IsReliableByWhatItHasNotSeen) {
  ThreadPool pool(1);
  const double sure = fit_token_head(planted_pairs(2000, planted_weights()), {}, pool).reliability;
  const double few = fit_token_head(planted_pairs(12, planted_weights()), {}, pool).reliability;
  const double nothing = fit_token_head(planted_pairs(2000, std::vector<double>(kWidth)), {}, pool).reliability;
  EXPECT_GT(sure, 0.6);
  EXPECT_LT(few, 12.0 / 62.0 + 1e-9) << "a dozen prompts may be right by chance";
  EXPECT_LT(nothing, 0.06) << "half of 2,000 within two and a half standard errors";
}

TEST(TokenFit, ScaleOneMovesTypicalTokensByTheUnit) {
  ThreadPool pool(1);
  const TokenFit fit = fit_token_head(planted_pairs(1000, planted_weights()), {}, pool);
  const std::shared_ptr<const TokenBasis> kept = basis();
  const TokenBasis& sample = *kept;
  double squares = 0;
  for (std::size_t i = 0; i < sample.sample_states.rows(); ++i) {
    double q = 0;
    for (std::size_t a = 0; a < kRank; ++a) {
      for (std::size_t b = 0; b < kRank; ++b) {
        q += static_cast<double>(sample.sample_states(i, a)) * fit.head.weights(a, b) * sample.sample_residuals(i, b);
      }
    }
    squares += q * q;
  }
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(sample.sample_states.rows())), kTokenUnit, 1e-5);
}

/// The gradient of the loss at the weights that were found, over the one at zero, by the definition and in double.
double gradient_left(const FeatureSet& set, const TokenProgram& program) {
  constexpr std::size_t kColumns = kWidth;
  constexpr std::size_t kInContext = kRank * kRank;
  Matrix<double> x(set.rows(), kColumns);
  double squares[2] = {};
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < kColumns; ++j) {
      x(i, j) = static_cast<double>(set.token_sums_chosen(i, j)) - static_cast<double>(set.token_sums_rejected(i, j));
      squares[j < kInContext ? 0 : 1] += x(i, j) * x(i, j);
    }
  }
  // Mean squares of rows: W's columns have 1 each, the bias' as much together, times the square of its length.
  const double length[2] = {1, program.bias_length};
  double scales[2];
  for (const int k : {0, 1}) {
    scales[k] = length[k] * std::sqrt(static_cast<double>(x.rows() * kInContext) / squares[k]);
  }
  const auto scale = [&scales](std::size_t j) { return scales[j < kInContext ? 0 : 1]; };
  std::vector<double> at_zero(kColumns);
  std::vector<double> gradient(kColumns);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    double margin = 0;
    for (std::size_t j = 0; j < kColumns; ++j) margin += x(i, j) * program.weights[j];
    for (std::size_t j = 0; j < kColumns; ++j) {
      at_zero[j] -= 0.5 * scale(j) * x(i, j);
      gradient[j] -= scale(j) * x(i, j) / (1 + std::exp(margin));
    }
  }
  for (std::size_t j = 0; j < kColumns; ++j) gradient[j] += program.chosen.penalty * program.weights[j] / scale(j);
  return std::sqrt(dot(gradient, gradient) / dot(at_zero, at_zero));
}

/// With fewer pairs than weights the program is solved in the span of the rows.
TEST(TokenFit, SolvesItsProgramWithManyPairsAndWithFew) {
  ThreadPool pool(2);
  for (const std::size_t pairs : {10u, 15u, 16u, 40u}) {
    const FeatureSet set = planted_pairs(pairs, planted_weights());
    const TokenFit fit = fit_token_head(set, {}, pool);
    EXPECT_EQ(fit.token.weights.size(), kWidth);
    EXPECT_LT(fit.token.certificate.relative_gap, 1e-6);
    // The solver stops at 1e-6; what it solves is rounded to single precision.
    EXPECT_LT(gradient_left(set, fit.token), 3e-6) << pairs << " pairs";
  }
}

TEST(TokenFit, LearnsFromLabelledResponsesToo) {
  ThreadPool pool(1);
  const std::vector<double> w = planted_weights();
  Random random(6);
  FeatureSet set = test::labelled_set(
      3000, 3, [](std::span<const float>) { return 0.0; }, 7);
  Matrix<float> sums = normal_matrix(3000, kWidth, random);
  for (std::size_t i = 0; i < 3000; ++i) {
    double score = 0.5;  // most are liked
    for (std::size_t j = 0; j < w.size(); ++j) score += w[j] * sums(i, j);
    set.labels[i] = random.uniform() < 1 / (1 + std::exp(-score)) ? 1 : -1;
  }
  set.token_sums = std::move(sums);
  set.token_basis = basis();
  const TokenFit fit = fit_token_head(set, {}, pool);
  EXPECT_GT(cosine_of_context(fit, w), 0.97);
  EXPECT_GT(fit.token.bias, 0);
}

TEST(TokenFit, BeginningsOfResponsesDoNotCount) {
  ThreadPool pool(1);
  FeatureSet set = planted_pairs(400, planted_weights());
  const TokenFit whole = fit_token_head(set, {}, pool);
  // The same rows again as beginnings, with the other sign: they would turn the head round.
  FeatureSet both = set;
  std::swap(both.token_sums_chosen, both.token_sums_rejected);
  set.prefix_tokens.assign(400, 0);
  both.chosen = set.chosen.joined_with(both.chosen);
  both.rejected = set.rejected.joined_with(both.rejected);
  both.token_sums_chosen = set.token_sums_chosen.joined_with(both.token_sums_chosen);
  both.token_sums_rejected = set.token_sums_rejected.joined_with(both.token_sums_rejected);
  both.prompt_id.insert(both.prompt_id.end(), set.prompt_id.begin(), set.prompt_id.end());
  both.prefix_tokens.assign(800, 8);
  std::fill_n(both.prefix_tokens.begin(), 400, 0);
  const TokenFit fit = fit_token_head(both, {}, pool);
  EXPECT_TRUE(std::ranges::equal(fit.head.weights.values(), whole.head.weights.values()));
}

TEST(TokenFit, SaysWhatItCannotBeFittedTo) {
  ThreadPool pool(1);
  FeatureSet set = planted_pairs(50, planted_weights());
  set.token_sums_rejected = set.token_sums_chosen;
  EXPECT_EQ(error_code_of([&] { fit_token_head(set, {}, pool); }), ErrorCode::BadInput);
  set.token_basis = nullptr;
  EXPECT_EQ(error_code_of([&] { fit_token_head(set, {}, pool); }), ErrorCode::BadInput);
}

}  // namespace
}  // namespace coala
