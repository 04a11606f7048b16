// Whether the numbers may be believed: simulations with a known truth.
#include <gtest/gtest.h>

#include <numeric>
#include <tuple>

#include "core/progress.h"
#include "eval/answer_metrics.h"
#include "eval/calibration.h"
#include "eval/comparison.h"
#include "eval/discrimination.h"
#include "eval/head_comparison.h"
#include "eval/intervals.h"
#include "eval/leaks.h"
#include "eval/length_control.h"
#include "eval/metrics.h"
#include "eval/reward_bench.h"
#include "eval/subsets.h"
#include "support.h"
#include "synthetic.h"
#include "train/control.h"
#include "train/training_run.h"

namespace coala {
namespace {

/// Rows of prompts that have one to four of them; the rows of a prompt depend on each other.
struct Clustered {
  std::vector<std::int64_t> prompts;
  std::vector<double> values;  ///< standard normal, correlation 1/2 within a prompt

  Clustered(std::int64_t count, Random& random) {
    for (std::int64_t prompt = 0; prompt < count; ++prompt) {
      const double shared = random.normal();
      for (std::uint64_t rows = 1 + random.below(4); rows > 0; --rows) {
        prompts.push_back(prompt);
        values.push_back((shared + random.normal()) / std::sqrt(2.0));
      }
    }
  }
  /// 1 with the given probability.
  std::vector<double> right(double probability) const {
    std::vector<double> result;
    for (const double value : values) result.push_back(0.5 * std::erfc(-value / std::sqrt(2.0)) < probability ? 1 : 0);
    return result;
  }
};

bool contains(const Interval& interval, double value) {
  return interval.low <= value && value <= interval.high;
}

void expect_covers_95(int covered, int runs) {
  EXPECT_GE(covered, 0.93 * runs);
  EXPECT_LE(covered, 0.97 * runs);
}

TEST(Coverage, Wilson) {
  Random random(1);
  constexpr int kRuns = 4000;
  for (const double p : {0.5, 0.65, 0.9}) {
    int covered = 0;
    for (int run = 0; run < kRuns; ++run) {
      double right = 0;
      for (int i = 0; i < 150; ++i) right += random.uniform() < p ? 1 : 0;
      covered += contains(wilson_interval(right, 150), p) ? 1 : 0;
    }
    SCOPED_TRACE(p);
    expect_covers_95(covered, kRuns);
  }
}

TEST(Coverage, ProportionsOfRepeatedPrompts) {
  Random random(2);
  constexpr int kRuns = 2000;
  for (const std::int64_t prompts : {20, 50, 200}) {
    int covered = 0;
    for (int run = 0; run < kRuns; ++run) {
      const Clustered rows(prompts, random);
      covered += contains(proportion_interval(rows.right(0.65), rows.prompts), 0.65) ? 1 : 0;
    }
    SCOPED_TRACE(prompts);
    expect_covers_95(covered, kRuns);
  }
  // All right proves little when there are few prompts.
  const std::vector<double> all(40, 1.0);
  std::vector<std::int64_t> ten(40);
  for (std::size_t i = 0; i < 40; ++i) ten[i] = static_cast<std::int64_t>(i / 4);
  EXPECT_LT(proportion_interval(all, ten).low, wilson_interval(10, 10).low);
}

TEST(Coverage, BootstrapByPrompt) {
  Random random(3);
  constexpr int kRuns = 1000;
  int covered = 0;
  for (int run = 0; run < kRuns; ++run) {
    const Clustered rows(60, random);
    covered += contains(bootstrap_mean(rows.values, rows.prompts, static_cast<std::uint64_t>(run)), 0) ? 1 : 0;
  }
  expect_covers_95(covered, kRuns);
}

TEST(Coverage, AccuracyAtEqualLengths) {
  Random random(4);
  constexpr int kRuns = 1000;
  int covered = 0;
  for (int run = 0; run < kRuns; ++run) {
    std::vector<double> right;
    std::vector<double> difference;
    std::vector<std::int64_t> prompts;
    for (int i = 0; i < 300; ++i) {
      difference.push_back(std::tanh(random.normal() + 0.5));
      const double x = difference.back();
      right.push_back(random.uniform() < 1 / (1 + std::exp(-(0.4 + 1.5 * x))) ? 1 : 0);
      prompts.push_back(i);
    }
    const LengthControlled controlled = length_controlled_accuracy(right, difference, prompts);
    covered += contains(controlled.ci95, 1 / (1 + std::exp(-0.4))) ? 1 : 0;
  }
  expect_covers_95(covered, kRuns);
}

/// Rates near 1 of few prompts, ties half; where all are won the interval is no point.
TEST(Coverage, RatesNearOneOfFewPrompts) {
  constexpr int kRuns = 2000;
  for (const double rate : {0.8, 0.9, 0.95}) {
    SCOPED_TRACE(rate);
    Random random(7);
    int covered = 0;
    for (int run = 0; run < kRuns; ++run) {
      std::vector<double> won;
      std::vector<std::int64_t> prompts;
      for (int i = 0; i < 20; ++i) {
        won.push_back(((random.uniform() < rate ? 1 : 0) + (random.uniform() < rate ? 1 : 0)) / 2.0);
        prompts.push_back(i);
      }
      covered += contains(rate_interval(won, prompts), rate) ? 1 : 0;
    }
    EXPECT_GE(covered, 0.93 * kRuns);
  }
  const std::vector<std::int64_t> three{0, 1, 2};
  const Interval all_won = rate_interval(std::vector{1.0, 1.0, 1.0}, three);
  EXPECT_LT(all_won.low, 0.6);
  EXPECT_FALSE(rate_interval(std::vector{1.0, 0.0}, std::vector<std::int64_t>{4, 4}).is_known());
}

/// As `coala judge` has them: two verdicts of each pair, lengths by their root mean square in the sample.
TEST(Coverage, LengthsOfFewPairs) {
  constexpr int kRuns = 1000;
  constexpr double kMiddle = 0.4;
  constexpr double kSlope = 1;
  for (const int pairs : {20, 80}) {
    SCOPED_TRACE(pairs);
    Random random(static_cast<std::uint64_t>(pairs));
    int covered = 0;
    int slope_covered = 0;
    for (int run = 0; run < kRuns; ++run) {
      std::vector<double> difference;
      double squares = 0;
      for (int i = 0; i < pairs; ++i) {
        difference.push_back(random.normal());
        squares += difference.back() * difference.back();
      }
      std::vector<double> preference;
      std::vector<std::int64_t> prompts;
      for (int i = 0; i < pairs; ++i) {
        double& x = difference[static_cast<std::size_t>(i)];
        const double rate = 1 / (1 + std::exp(-(kMiddle + kSlope * std::tanh(x))));
        preference.push_back(((random.uniform() < rate ? 1 : 0) + (random.uniform() < rate ? 1 : 0)) / 2.0);
        prompts.push_back(i);
        x = std::tanh(x / std::sqrt(squares / pairs));
      }
      const LengthControlled controlled = length_controlled_accuracy(preference, difference, prompts);
      covered += contains(controlled.ci95, 1 / (1 + std::exp(-kMiddle))) ? 1 : 0;
      slope_covered += contains(controlled.slope_ci95, kSlope) ? 1 : 0;
    }
    // The half rows at equal lengths make the middle's interval of 20 pairs wider than it needs to be.
    EXPECT_GE(covered, 0.93 * kRuns);
    EXPECT_LE(covered, 0.98 * kRuns);
    expect_covers_95(slope_covered, kRuns);
  }
}

TEST(LengthControl, KnowsAHeadThatOnlyMeasuresLength) {
  Random random(5);
  std::vector<double> difference(1000);
  std::vector<double> longer(1000);
  std::vector<double> fair(1000);
  std::vector<std::int64_t> prompts(1000);
  std::iota(prompts.begin(), prompts.end(), 0);
  for (std::size_t i = 0; i < 1000; ++i) {
    difference[i] = std::tanh(random.uniform() < 0.8 ? 0.01 + random.uniform() : -0.01 - random.uniform());
    longer[i] = difference[i] > 0 ? 1 : 0;
    fair[i] = random.uniform() < 0.7 ? 1 : 0;
  }
  const LengthControlled of_length = length_controlled_accuracy(longer, difference, prompts);
  EXPECT_TRUE(contains(of_length.ci95, 0.5)) << of_length.accuracy;  // its accuracy is 80 %
  EXPECT_GT(of_length.slope, 3);
  EXPECT_NEAR(length_controlled_accuracy(fair, difference, prompts).accuracy, 0.7, 0.06);
  // Nothing to regress on, and nothing wrong.
  const LengthControlled equal = length_controlled_accuracy(fair, std::vector<double>(1000, 0.0), prompts);
  EXPECT_NEAR(equal.accuracy, std::accumulate(fair.begin(), fair.end(), 0.0) / 1000, 1e-3);
  const LengthControlled perfect = length_controlled_accuracy(std::vector<double>(1000, 1.0), difference, prompts);
  EXPECT_GT(perfect.accuracy, 0.98);
  EXPECT_LT(perfect.ci95.low, perfect.accuracy);
  // One prompt says nothing of others.
  const LengthControlled one = length_controlled_accuracy(fair, difference, std::vector<std::int64_t>(1000));
  EXPECT_FALSE(one.ci95.is_known() || one.slope_ci95.is_known());
}

/// So many rows that the slope is far away: the gradient is zero there.
TEST(LengthControl, EndsWhereTheLengthDecidesAll) {
  constexpr std::size_t kRows = 40'000;
  Random random(6);
  std::vector<double> x(kRows);
  std::vector<double> longer(kRows);
  std::vector<std::int64_t> prompts(kRows);
  std::iota(prompts.begin(), prompts.end(), 0);
  double positive = 0;
  for (std::size_t i = 0; i < kRows; ++i) {
    x[i] = std::tanh(random.normal() + 0.8);
    longer[i] = x[i] > 0 ? 1 : 0;
    positive += longer[i];
  }
  const LengthControlled found = length_controlled_accuracy(longer, x, prompts);
  const double a = std::log(found.accuracy / (1 - found.accuracy));
  double gradient = found.accuracy - 0.5;
  double size = 0;
  for (std::size_t i = 0; i < kRows; ++i) {
    const double weight = kRows / (2 * (x[i] > 0 ? positive : kRows - positive));
    const double residual = weight * (1 / (1 + std::exp(-(a + found.slope * x[i]))) - longer[i]);
    gradient += residual;
    size += std::abs(residual);
  }
  EXPECT_GT(found.slope, 60);
  EXPECT_LT(std::abs(gradient), 1e-6 * size);
}

/// Pairs whose preferences come from quality (column 0) and from length (column 1 knows it, and so do the lengths).
FeatureSet pairs_with_length(std::size_t n, std::uint64_t seed) {
  FeatureSet set = test::pair_set(
      n, 6, [](std::span<const float> x) { return static_cast<double>(x[0]) + 1.5 * static_cast<double>(x[1]); }, seed);
  for (std::size_t i = 0; i < n; ++i) {
    set.length_chosen.push_back(static_cast<std::int32_t>(std::lround(1000 + 200 * set.chosen(i, 1))));
    set.length_rejected.push_back(static_cast<std::int32_t>(std::lround(1000 + 200 * set.rejected(i, 1))));
  }
  return set;
}

TEST(LengthControl, TrainingForgetsTheLength) {
  set_quiet(true);
  ThreadPool pool(1);
  FitSettings settings;
  settings.model_class = ModelClass::Linear;
  settings.path_length = 6;
  EvaluationPlan plan;
  plan.held_out = pairs_with_length(2000, 2);
  const auto metrics = [&](LengthControl control) {
    settings.length_control = control;
    return train_and_evaluate(pairs_with_length(2000, 1), plan, settings, pool).metrics;
  };
  const auto correlation_of = [](const RunMetrics& m) { return m.evaluation.length.correlation.value(); };
  const auto controlled_of = [](const RunMetrics& m) { return m.evaluation.length.controlled_accuracy.value().value; };
  const auto plain = metrics(LengthControl::None);
  EXPECT_GT(correlation_of(plain), 0.7);
  for (const LengthControl control : {LengthControl::Covariate, LengthControl::Weights}) {
    SCOPED_TRACE(name_of(control));
    const auto controlled = metrics(control);
    EXPECT_LT(std::abs(correlation_of(controlled)), 0.3);
    EXPECT_NEAR(controlled_of(controlled), controlled_of(plain), 0.04);  // at equal lengths both know the quality
    EXPECT_EQ(controlled.solver.length_control, control);
  }
  EXPECT_GT(metrics(LengthControl::Covariate).solver.length_slope.value(), 1);
}

TEST(LengthControl, RefusesWhatHasNoPlaceForIt) {
  ThreadPool pool(1);
  FitSettings settings;
  settings.length_control = LengthControl::Weights;
  const auto code = [&](const FeatureSet& set) { return test::error_code_of([&] { fit_head(set, settings, pool); }); };
  const FeatureSet pairs = pairs_with_length(50, 3);
  FeatureSet without = pairs;
  without.length_chosen.clear();
  EXPECT_EQ(code(without), ErrorCode::BadUsage);
  EXPECT_EQ(code(test::labelled_set(
                50, 3, [](std::span<const float>) { return 0.0; }, 4)),
            ErrorCode::BadUsage);
  settings.length_control = LengthControl::Covariate;
  settings.phase_two.objective = PhaseTwoObjective::Pairwise;
  EXPECT_EQ(code(pairs), ErrorCode::BadUsage);
  settings.phase_two.objective = PhaseTwoObjective::Preference;
  settings.loss = Loss::Squared;
  EXPECT_EQ(code(pairs), ErrorCode::BadUsage);
  settings.loss.reset();
  settings.model_class = ModelClass::Cronos;
  EXPECT_EQ(code(pairs), ErrorCode::BadUsage);
}

TEST(Comparison, ClaimsNoMoreThanItsRate) {
  // Two scorers that are equally good, 200 runs: at most 5 % claims, and three standard errors for luck.
  Random random(6);
  int claims = 0;
  int own_claims = 0;
  int covered = 0;
  constexpr int kRuns = 200;
  for (int run = 0; run < kRuns; ++run) {
    const Clustered rows(80, random);
    const std::vector<double> first = rows.right(0.6);
    // The second scorer is right on the mirror image of the same distribution, so neither is better.
    std::vector<double> second;
    const bool mirrored = random.below(2) == 0;
    for (const double value : rows.values) second.push_back(0.5 * std::erfc(value / std::sqrt(2.0)) < 0.6 ? 1 : 0);
    const auto seed = static_cast<std::uint64_t>(run);
    const PairedComparison comparison = mirrored ? compare_paired(first, second, rows.prompts, seed)
                                                 : compare_paired(second, first, rows.prompts, seed);
    claims += comparison.p_value < 0.05 ? 1 : 0;
    own_claims += sign_test(comparison.first_only, comparison.second_only) < 0.05 ? 1 : 0;
    covered += contains(comparison.difference_ci95, 0) ? 1 : 0;
  }
  EXPECT_LE(claims, kRuns * 0.05 + 3 * std::sqrt(kRuns * 0.05 * 0.95));
  EXPECT_GT(own_claims, 20);  // what rows taken for independent would claim
  EXPECT_GE(covered, 0.9 * kRuns);
}

TEST(Comparison, ShuffledPreferencesAreChance) {
  // 200 training runs on meaningless preferences: accuracy is 50 % within its interval, and the head is not called
  // better than logistic regression. The squared loss makes a head that differs from the baseline.
  set_quiet(true);
  constexpr int kRuns = 200;
  int within = 0;
  int better = 0;
  int differ = 0;
  ThreadPool pool(1);
  for (int run = 0; run < kRuns; ++run) {
    const auto seed = static_cast<std::uint64_t>(run);
    FeatureSet train = test::pair_set(
        60, 4, [](std::span<const float>) { return 0.0; }, seed);
    EvaluationPlan plan;
    plan.held_out = test::pair_set(
        60, 4, [](std::span<const float>) { return 0.0; }, 1000 + seed);
    FitSettings settings;
    settings.model_class = ModelClass::Cronos;
    settings.cronos_gates = 2;
    settings.path_length = 2;
    settings.folds = 2;
    const EvaluationMetrics metrics = train_and_evaluate(train, plan, settings, pool).metrics.evaluation;
    const Interval& interval = metrics.accuracy().ci95;
    within += interval.low <= 0.5 && interval.high >= 0.5 ? 1 : 0;
    const LogisticMetrics& logistic = metrics.logistic.value();
    better += logistic.difference.value > 0 && logistic.p_value < 0.05 ? 1 : 0;
    differ += logistic.head_only_right > 0 ? 1 : 0;
  }
  EXPECT_GE(within, 0.95 * kRuns - 3 * std::sqrt(kRuns * 0.05 * 0.95));
  EXPECT_LE(better, kRuns * 0.025 + 3 * std::sqrt(kRuns * 0.025 * 0.975));
  EXPECT_GT(differ, kRuns / 2);  // otherwise the test would say nothing
}

TEST(Comparison, NamesTheRowsThatDiffer) {
  FeatureSet set = test::pair_set(
      4, 2, [](std::span<const float>) { return 0.0; }, 1);
  Scores first;
  first.chosen = {1, -1, 5, 2};
  first.rejected = {0, 0, 0, 0};
  Scores second;
  second.chosen = {10, 10, -30, 20};  // another scale: what counts is the spread of each
  second.rejected = {0, 0, 0, 0};
  const HeadComparison result = compare_heads(set, first, second, {"a", "b", "c", "d"}, 0);
  EXPECT_EQ(result.first_accuracy.value, 0.75);
  EXPECT_EQ(result.second_accuracy.value, 0.75);
  EXPECT_EQ(result.first_only_right, 1u);
  EXPECT_EQ(result.second_only_right, 1u);
  EXPECT_EQ(result.difference.value, 0);
  EXPECT_EQ(result.p_value, 1);
  ASSERT_EQ(result.disagreements.size(), 2u);
  EXPECT_EQ(result.disagreements[0].id, "c");
  EXPECT_EQ(result.disagreements[0].right, ComparedHead::First);
  EXPECT_EQ(result.disagreements[1].row, 1u);
  EXPECT_NE(comparison_summary(result).find("c: first is right"), std::string::npos);
  EXPECT_FALSE(compare_heads(set, first, second, {}, 0).disagreements[0].id);
}

/// Six answers to three prompts, of which one has a single answer.
FeatureSet unjudged_answers() {
  FeatureSet set = test::labelled_set(
      6, 2, [](std::span<const float>) { return 1.0; }, 1);
  set.labels.assign(6, 0);
  set.prompt_id = {0, 0, 1, 2, 2, 2};
  set.length = {1, 2, 3, 4, 5, 6};
  return set;
}

TEST(UnjudgedAnswers, AreDescribedAndNotCalledRight) {
  Scores scores;
  scores.single = {1, 3, -1, 0, 2, 4};
  const AnswerMetrics metrics = answer_metrics(unjudged_answers(), scores, 0);
  EXPECT_EQ(metrics.rows, 6u);
  EXPECT_EQ(metrics.prompts, 3u);
  EXPECT_DOUBLE_EQ(metrics.score.value, 1.5);
  EXPECT_DOUBLE_EQ(metrics.deviation, std::sqrt(17.5 / 5));  // squares .25 2.25 6.25 2.25 .25 6.25
  EXPECT_DOUBLE_EQ(metrics.median, 1.5);
  EXPECT_DOUBLE_EQ(metrics.low, -0.75);  // a quarter of the way from -1 to 0
  EXPECT_DOUBLE_EQ(metrics.high, 3.75);  // three quarters from 3 to 4
  EXPECT_NEAR(metrics.length_correlation.value(), 6.5 / 17.5, 1e-12);
  ASSERT_TRUE(metrics.choice);
  EXPECT_EQ(metrics.choice->prompts, 2u);
  EXPECT_DOUBLE_EQ(metrics.choice->best_ahead.value, 1.5);  // 3 - 2 and 4 - 2
  EXPECT_NE(answer_summary(metrics).find("nobody has judged"), std::string::npos);
}

TEST(UnjudgedAnswers, TwoHeadsAgreeOrAreNamed) {
  Scores first;
  first.single = {1, 3, -1, 0, 2, 4};
  Scores second;
  second.single = {10, 30, 7, 20, 20, 0};  // of the third prompt: a tie, and two that are turned round
  const AgreementMetrics metrics = agreement_metrics(unjudged_answers(), first, second, {"a", "b", "c", "d", "e", "f"});
  EXPECT_EQ(metrics.choices, 4u);
  ASSERT_TRUE(metrics.same_order);
  EXPECT_DOUBLE_EQ(metrics.same_order->value, 1.5 / 4);
  ASSERT_EQ(metrics.disputed.size(), 2u);
  EXPECT_EQ(metrics.disputed[0].preferred_by_first, "f");  // by 4, which is the most
  EXPECT_EQ(metrics.disputed[0].preferred_by_second, "d");
  EXPECT_EQ(metrics.disputed[0].second_margin, 20);
  EXPECT_EQ(metrics.disputed[1].preferred_by_second, "e");
  EXPECT_EQ(agreement_metrics(unjudged_answers(), first, second, {}).disputed[0].preferred_by_first, "row 5");
}

TEST(UnjudgedAnswers, AreNotMixedWithJudgedOnes) {
  FeatureSet set = unjudged_answers();
  EXPECT_TRUE(are_unjudged(set));
  set.labels[2] = 1;
  EXPECT_THROW(are_unjudged(set), Error);
  set.labels.assign(6, -1);
  EXPECT_FALSE(are_unjudged(set));
}

TEST(Calibration, FindsTheTemperatureAndItsError) {
  Random random(7);
  std::vector<double> margins(20000);
  std::vector<std::int64_t> prompts(margins.size());
  std::iota(prompts.begin(), prompts.end(), 0);
  for (double& margin : margins) {  // true log odds z, stated three times too sure
    const double z = 1.5 * random.normal();
    margin = 3 * (random.uniform() < 1 / (1 + std::exp(-z)) ? z : -z);
  }
  const Calibration calibration = calibrate(margins, prompts, 0);
  EXPECT_NEAR(calibration.temperature, 3, 0.1);
  EXPECT_GT(calibration.raw.expected_error, 0.1);
  EXPECT_LT(calibration.scaled.expected_error, 0.015);
  ASSERT_EQ(calibration.raw.bins.size(), 10u);
  std::uint64_t rows = 0;
  for (const ReliabilityBin& bin : calibration.scaled.bins) {
    rows += bin.rows;
    EXPECT_GE(bin.confidence.value(), bin.low);
    EXPECT_LE(bin.confidence.value(), bin.high);
    EXPECT_NEAR(bin.confidence.value(), bin.accuracy.value(), 0.05);
  }
  EXPECT_EQ(rows, margins.size());
  // Ends of the range, and ties.
  EXPECT_NEAR(fit_temperature(std::vector<double>{1, 2}), 1e-3, 1e-6);
  EXPECT_NEAR(fit_temperature(std::vector<double>{-1, -2}), 1e3, 1);
  EXPECT_EQ(fit_temperature(std::vector<double>{0, 0}), 1);
  EXPECT_EQ(fit_temperature({}), 1);
  EXPECT_EQ(calibrate(std::vector<double>{0, 0}, std::vector<std::int64_t>{1, 2}, 0).raw.expected_error, 0);
}

TEST(Calibration, PromptsAreNotCutInTwo) {
  // All rows of one prompt: the other half has none, so nothing is learnt from the rows that are scaled.
  const std::vector<double> margins{1, 2, -3, 4};
  const Calibration calibration = calibrate(margins, std::vector<std::int64_t>(4, 9), 0);
  EXPECT_NE(calibration.temperature, 1);
  EXPECT_EQ(calibration.scaled.expected_error, calibration.raw.expected_error);
}

TEST(Subsets, PartTheRows) {
  FeatureSet set = test::pair_set(
      6, 2, [](std::span<const float>) { return 0.0; }, 1);
  set.length_chosen = {0, 10, 10, 10, 30, 0};
  set.length_rejected = {10, 12, 10, 8, 10, 0};
  set.margin = {1, 2, 3, 4, 5, 6};
  const SubsetMetrics subsets = accuracy_by_subset(set, {1, 0, 1, 0, 1, 1}).value();
  ASSERT_EQ(subsets.length_ratio.value().size(), 5u);
  EXPECT_EQ(subsets.length_ratio.value()[0].rows, 1u);
  EXPECT_EQ(subsets.length_ratio.value()[2].rows, 2u);  // equal, and both empty
  EXPECT_EQ(subsets.length_ratio.value()[4].accuracy.value, 1.0);
  ASSERT_EQ(subsets.margin.value().size(), 3u);
  EXPECT_EQ(subsets.margin.value()[0].accuracy.value, 0.5);
  set.margin.assign(6, 1.0f);
  EXPECT_FALSE(accuracy_by_subset(set, {1, 0, 1, 0, 1, 1}).value().margin);
  EXPECT_FALSE(subsets.named);
  set.subset = {"chat", "", "chat", "safety", "safety", "safety"};
  const std::vector<SubsetAccuracy> named = accuracy_by_subset(set, {1, 0, 1, 0, 1, 1}).value().named.value();
  ASSERT_EQ(named.size(), 3u);
  EXPECT_EQ(named[1].subset, "chat");
  EXPECT_EQ(named[1].accuracy.value, 1.0);
  EXPECT_EQ(named[2].rows, 3u);
}

/// Worked by the published calculate_scores_per_section (allenai/reward-bench, commit 05a9005) on these accuracies.
TEST(Subsets, RewardBenchIsAddedUpAsPublished) {
  const std::vector<std::tuple<std::string, int, int>> counts{
      {"alpacaeval-easy", 4, 3}, {"mt-bench-med", 2, 1}, {"llmbar-natural", 4, 1}, {"llmbar-adver-GPTOut", 5, 4},
      {"donotanswer", 2, 2},     {"math-prm", 3, 1},     {"hep-rust", 4, 3},       {"of my own", 7, 0}};
  std::vector<std::string> subset;
  std::vector<double> right;
  std::vector<std::int64_t> prompts;
  for (const auto& [name, rows, right_rows] : counts) {
    for (int i = 0; i < rows; ++i) {
      subset.push_back(name);
      right.push_back(i < right_rows ? 1 : 0);
      prompts.push_back(static_cast<std::int64_t>(prompts.size()));
    }
  }
  const std::vector<RewardBenchScore> scores = reward_bench_scores(subset, right, prompts);
  ASSERT_EQ(scores.size(), 5u);
  const double expected[] = {0.6785714285714286, 0.42585034013605444, 1.0, 0.39285714285714285};
  for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(scores[k].accuracy, expected[k], 1e-12) << scores[k].name;
  EXPECT_NEAR(scores[4].accuracy, (expected[0] + expected[1] + expected[2] + expected[3]) / 4, 1e-12);
  EXPECT_EQ(scores[4].rows, 24u);
  EXPECT_EQ(scores[2].parts, 1u);
  EXPECT_EQ(scores[2].of, 5u);
  EXPECT_LT(scores[2].ci95.low, 0.5);  // two of two say little
  for (const RewardBenchScore& score : scores) {
    EXPECT_LT(score.ci95.low, score.accuracy);
    EXPECT_LE(score.accuracy, score.ci95.high);
  }
  // All of it right, so many that a sum of shares is not 1: the rows' own interval.
  for (const std::size_t n : {10u, 28u, 100u}) {
    std::vector<std::int64_t> own(n);
    std::iota(own.begin(), own.end(), 0);
    const std::vector<std::string> names(n, "alpacaeval-easy");
    const std::vector<double> all(n, 1.0);
    const RewardBenchScore whole = reward_bench_scores(names, all, own).front();
    const auto trials = static_cast<double>(n);
    EXPECT_EQ(whole.accuracy, 1) << n;
    EXPECT_NEAR(whole.ci95.low, wilson_interval(trials, trials).low, 1e-12) << n;
    EXPECT_NEAR(whole.ci95.high, 1, 1e-12) << n;
    const RewardBenchScore of_one = reward_bench_scores(names, all, std::vector<std::int64_t>(n)).front();
    EXPECT_EQ(of_one.ci95.low, 0) << "rows of one prompt";
  }
  // Of one subset: its own rate. Of none: nothing.
  EXPECT_EQ(reward_bench_scores(std::span(subset).first(4), right, prompts).front().accuracy, 0.75);
  EXPECT_TRUE(reward_bench_scores(std::span(subset).last(7), right, prompts).empty());
}

TEST(Leaks, AreCounted) {
  const auto truth = [](std::span<const float>) { return 0.0; };
  const FeatureSet train = test::pair_set(500, 32, truth, 1);
  FeatureSet held_out = test::pair_set(100, 32, truth, 2);
  EXPECT_EQ(find_leaks(train, held_out).identical_rows, 0u);
  EXPECT_EQ(find_leaks(train, held_out).near_duplicate_rows, 0u);
  EXPECT_EQ(find_leaks(train, held_out).shared_prompt_rows, 0u);  // neither file names prompts

  Matrix<float> chosen = held_out.chosen.matrix();
  std::ranges::copy(train.rejected.matrix().row(7), chosen.row(3).begin());
  Random random(3);
  for (std::size_t i = 10; i < 50; ++i) {  // 40 rows moved by half of what counts as near
    const Matrix<float> other = train.chosen.matrix();
    for (std::size_t j = 0; j < 32; ++j) chosen(i, j) = other(i, j) + 0.01f * static_cast<float>(random.normal());
  }
  held_out.chosen = std::move(chosen);
  const Leaks leaks = find_leaks(train, held_out);
  EXPECT_EQ(leaks.identical_rows, 1u);
  EXPECT_GE(leaks.near_duplicate_rows, 38u);
  EXPECT_LE(leaks.near_duplicate_rows, 40u);
}

TEST(Discrimination, IsThatOfItsDefinition) {
  // By hand: good 3, 2, 2; bad 2, 1. Pairs won: 3>2, 3>1, 2=2 (half), 2>1, 2=2, 2>1: 5 of 6.
  const std::vector<double> scores{3, 2, 2, 2, 1};
  const std::vector<std::int8_t> labels{1, 1, 1, -1, -1};
  const std::vector<std::int64_t> prompts{0, 1, 2, 3, 4};
  EXPECT_NEAR(area_under_curve(scores, labels, prompts).value, 5.0 / 6, 1e-15);
  EXPECT_NEAR(balanced_accuracy(std::vector<double>{1, 1, 0, 0, 0}, labels, prompts).value, 1.0 / 3, 1e-15);
  EXPECT_EQ(majority_share(labels), 0.6);
  EXPECT_FALSE(has_both_labels(std::vector<std::int8_t>{1, 1}));
}

TEST(Discrimination, IntervalsCoverTheTruth) {
  // Scores N(0.5, 1) of good rows, N(-0.5, 1) of bad ones: AUC = Phi(1 / sqrt 2). Rows of a prompt share half of it.
  const double truth = 0.5 * std::erfc(-0.5);
  Random random(4);
  for (const bool clustered : {false, true}) {
    int covered = 0;
    constexpr int kRuns = 400;
    for (int run = 0; run < kRuns; ++run) {
      std::vector<double> scores;
      std::vector<std::int8_t> labels;
      std::vector<std::int64_t> prompts;
      for (std::int64_t prompt = 0; prompt < 60; ++prompt) {
        const double shared = random.normal();
        for (int k = 0; k < 3; ++k) {
          const bool good = random.below(5) != 0;
          const double noise = clustered ? std::sqrt(0.5) * (shared + random.normal()) : random.normal();
          scores.push_back((good ? 0.5 : -0.5) + noise);
          labels.push_back(good ? 1 : -1);
          prompts.push_back(clustered ? prompt : static_cast<std::int64_t>(scores.size()));
        }
      }
      const Estimate area = area_under_curve(scores, labels, prompts);
      covered += area.ci95.low <= truth && truth <= area.ci95.high ? 1 : 0;
    }
    // Binomial around 95 %: 380 of 400, standard deviation 4.4.
    EXPECT_GE(covered, 360) << clustered;
    EXPECT_LE(covered, 398) << clustered;
  }
}

TEST(Discrimination, RandomLabelsAreNoGoodHead) {
  // 95 % good, nothing to tell: the accuracy of always "good" is that of the more frequent label, and no more.
  Random random(5);
  FeatureSet set;
  set.kind = FeatureKind::Labelled;
  Scores scores;
  for (std::int64_t i = 0; i < 400; ++i) {
    set.prompt_id.push_back(i);
    set.labels.push_back(random.below(20) == 0 ? -1 : 1);
    scores.single.push_back(3 + 0.1 * random.normal());
  }
  set.features = Matrix<float>(400, 1);
  const LabelledMetrics metrics = evaluation_metrics(set, scores, {}, 1).labelled.value();
  EXPECT_EQ(metrics.accuracy.value, metrics.majority_accuracy.value().value);
  EXPECT_EQ(metrics.balanced_accuracy.value().value, 0.5);
  EXPECT_LT(metrics.area.value().ci95.low, 0.5);
  EXPECT_GT(metrics.area.value().ci95.high, 0.5);
}

}  // namespace
}  // namespace coala
