// Aggregations of judgments against figures by hand, published worked examples and known truths.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "core/atomic_file.h"
#include "core/random.h"
#include "eval/intervals.h"
#include "eval/order_statistics.h"
#include "solver/loss.h"
#include "support.h"
#include "tally/agreement.h"
#include "tally/alpaca_eval.h"
#include "tally/arena_hard.h"
#include "tally/csv.h"
#include "tally/legacy_random.h"
#include "tally/logistic_fit.h"
#include "tally/mt_bench.h"
#include "tally/pair_judgments.h"
#include "tally/published_descent.h"

namespace coala {
namespace {

using test::error_code_of;
using test::shared_file;

std::vector<std::int64_t> counted(std::size_t n) {
  std::vector<std::int64_t> prompts(n);
  std::iota(prompts.begin(), prompts.end(), 0);
  return prompts;
}

TEST(LegacyRandom, DrawsAsNumpyDoes) {
  // numpy 2.4.6: RandomState(42).randint(0, 100, 10), then .choice(7, 5).
  LegacyRandom random(42);
  EXPECT_EQ(random.draws(100, 10), (std::vector<std::size_t>{51, 92, 14, 71, 60, 20, 82, 86, 74, 74}));
  EXPECT_EQ(random.draws(7, 5), (std::vector<std::size_t>{4, 3, 2, 5, 4}));
  EXPECT_EQ(random.draws(1, 2), (std::vector<std::size_t>{0, 0}));
}

/// The gradient of the smooth part, by itself.
std::vector<double> gradient_of(const LogisticRows& rows, std::span<const double> b) {
  std::vector<double> gradient(b.size(), 0.0);
  for (std::size_t i = 0; i < rows.targets.size(); ++i) {
    double z = 0;
    for (std::size_t j = 0; j < b.size(); ++j) z += rows.x(i, j) * b[j];
    const double residual = rows.weights[i] * (1 / (1 + std::exp(-z)) - rows.targets[i]);
    for (std::size_t j = 0; j < b.size(); ++j) gradient[j] += residual * rows.x(i, j);
  }
  return gradient;
}

TEST(LogisticFit, MeetsTheConditionsOfAnOptimum) {
  Random random(3);
  LogisticRows rows{Matrix<double>(200, 4), {}, {}};
  for (std::size_t i = 0; i < 200; ++i) {
    for (std::size_t j = 0; j < 4; ++j) rows.x(i, j) = random.normal() * (j == 3 ? 0.02 : 1);
    rows.targets.push_back(sigmoid(1.5 * rows.x(i, 0) - rows.x(i, 1) + random.normal()));
    rows.weights.push_back(random.uniform());
  }
  const std::vector<double> lasso = fit_logistic(rows, 1, 0);
  std::vector<double> gradient = gradient_of(rows, lasso);
  int zeros = 0;
  for (std::size_t j = 0; j < 4; ++j) {
    // Rounding of sums of 200 terms below 3 is some 1e-13.
    if (lasso[j] == 0) {
      EXPECT_LE(std::abs(gradient[j]), 1);
      ++zeros;
    } else {
      EXPECT_NEAR(gradient[j], lasso[j] > 0 ? -1 : 1, 1e-9);
    }
  }
  EXPECT_GE(zeros, 1) << "the weak feature should be left out";
  const std::vector<double> ridge = fit_logistic(rows, 0, 2);
  gradient = gradient_of(rows, ridge);
  for (std::size_t j = 0; j < 4; ++j) EXPECT_NEAR(gradient[j] + 2 * ridge[j], 0, 1e-9);
  const std::vector<double> sums{3, -4, 5, 0.1};
  const std::vector<double> matched = match_sums(rows.x, sums);
  for (std::size_t j = 0; j < 4; ++j) {
    double sum = 0;
    for (std::size_t i = 0; i < 200; ++i) sum += sigmoid(linear(rows.x.row(i), matched)) * rows.x(i, j);
    EXPECT_NEAR(sum, sums[j], 1e-9);
  }
}

TEST(WinRates, AreThoseOfAlpacaEval) {
  const std::vector<double> preference{1, 0, 0.5, 0.9, 0.2, 1};
  const WinRates wins = win_rates(preference, counted(6));
  EXPECT_DOUBLE_EQ(wins.rate, 3.6 / 6);
  // Sum of squared deviations from 0.6: .16 + .36 + .01 + .09 + .16 + .16 = 0.94.
  EXPECT_NEAR(wins.standard_error, std::sqrt(0.94 / 5 / 6), 1e-15);
  EXPECT_EQ(wins.wins, 3u);
  EXPECT_EQ(wins.losses, 2u);
  EXPECT_EQ(wins.ties, 1u);
  EXPECT_DOUBLE_EQ(wins.discrete, 3.5 / 6);
  EXPECT_DOUBLE_EQ(wins.without_ties.value, 0.6);
}

TEST(Intervals, OfThePapersHumanStudy) {
  // arXiv 2605.23244: shares of 107 people's choices with +- as published, one digit.
  struct Published {
    double share, half;
  };
  for (const Published& published : {Published{39.1, 9.2}, {42.7, 9.4}, {28.8, 8.6}, {24.8, 8.2}}) {
    const Interval wald = wald_interval(published.share / 100 * 107, 107);
    EXPECT_NEAR(50 * (wald.high - wald.low), published.half, 0.051) << published.share;
    const Interval wilson = wilson_interval(published.share / 100 * 107, 107);
    EXPECT_LT(wilson.high - wilson.low, wald.high - wald.low) << "Wilson's is shorter in the middle";
    EXPECT_GT(wilson.low, wald.low);
  }
}

TEST(LengthControl, TakesThePlantedLengthOut) {
  // A model that is longer by 500 characters on average, before a judge that likes length.
  Random random(5);
  LengthControlInput input;
  double truth = 0;
  constexpr std::size_t kRows = 2000;
  for (std::size_t i = 0; i < kRows; ++i) {
    const double difference = -500 + 400 * random.normal();  // base less model
    const double difficulty = random.normal();
    input.base_length.push_back(3000);
    input.model_length.push_back(3000 - difference);
    input.difficulty.push_back(difficulty);
    input.preference.push_back(sigmoid(-2 * std::tanh(difference / 400) + 0.5 * difficulty - 0.8));
    truth += sigmoid(0.5 * difficulty - 0.8) / kRows;
  }
  input.prompts = counted(kRows);
  const LengthControlledRate rate = length_controlled_rate(input, 1);
  EXPECT_EQ(rate.variant, "length_controlled_noreg");
  EXPECT_GT(win_rates(input.preference, input.prompts).rate, 0.6);
  EXPECT_NEAR(rate.rate, truth, 0.02);  // the sample's deviation is not 400 but for 2 %
  EXPECT_NEAR(rate.length_coefficient, -2, 0.1);
  EXPECT_NEAR(rate.difficulty_coefficient, 0.5, 0.05);
  EXPECT_LT(rate.clustered95.low, rate.rate);
  EXPECT_GT(rate.clustered95.high, rate.rate);
  input.preference[7] = std::nan("");
  EXPECT_NEAR(length_controlled_rate(input, 1).rate, rate.rate, 1e-3) << "a row without a preference is predicted";
}

TEST(LengthControl, TheBaselineAgainstItselfIsHalf) {
  LengthControlInput input{{0.5, 0.5}, {10, 20}, {10, 20}, {}, {}, {0, 1}};
  EXPECT_EQ(length_controlled_rate(input, 0).rate, 0.5);
  EXPECT_EQ(why_no_length_control(input), "");
  input.preference[0] = 0.6;
  EXPECT_EQ(error_code_of([&] { length_controlled_rate(input, 0); }), ErrorCode::BadInput);
}

TEST(LengthControl, SaysWhyThereIsNone) {
  LengthControlInput input{{1, 0, 1, 0}, {10, 20, 30, 40}, {15, 15, 15, 15}, {}, {}, {0, 1, 2, 3}};
  EXPECT_NE(why_no_length_control(input).find("4 rows are too few"), std::string::npos);
  input.gamed = {{0.5, -0.5}, {0, 0}, {1, 0}};  // their rows are in the folds too
  EXPECT_EQ(why_no_length_control(input), "");
  input.model_length = {10, 10, 10, 10};
  EXPECT_NE(why_no_length_control(input).find("same number"), std::string::npos);
}

TEST(LengthControl, OfThePublishedLeaderboard) {
  COALA_NEEDS_SHARED("data/lc_winrate/claude-2.1.json.gz");
  const std::filesystem::path folder = shared_file("data/lc_winrate");
  const AlpacaEvalBackground background =
      read_background(folder / "instruction_difficulty_recovered.csv", folder / "gamed_baseline_features.csv",
                      folder / "gamed_baseline_sufficient_stats.json");
  const CsvTable leaderboard(folder / "weighted_alpaca_eval_gpt4_turbo_leaderboard.csv");
  int seen = 0;
  for (std::size_t row = 0; row < leaderboard.rows(); ++row) {
    const std::filesystem::path file = folder / (leaderboard.text(row, 0) + ".json.gz");
    if (!std::filesystem::exists(file)) continue;
    const AlpacaEvalScore score = alpaca_eval_scores(read_annotations({file}), background, 0).front();
    const auto published = [&](const char* name) { return leaderboard.number(row, leaderboard.required(name)); };
    // The annotations have ten digits.
    EXPECT_NEAR(100 * score.wins.rate, published("win_rate"), 1e-6) << file;
    EXPECT_NEAR(100 * score.wins.standard_error, published("standard_error"), 1e-6) << file;
    EXPECT_NEAR(100 * score.wins.discrete, published("discrete_win_rate"), 1e-9) << file;
    EXPECT_NEAR(100 * score.controlled->rate, published("length_controlled_winrate"), 0.2) << file;
    ++seen;
  }
  EXPECT_EQ(seen, 8);
}

TEST(PublishedDescent, StopsWhereTheOptimiserDoes) {
  // PyTorch 2.15, LBFGS(lr=0.1, max_iter=50) from 1/2, in double precision, on these five battles.
  Matrix<double> x(5, 3);
  const std::array<double, 5> style{0.5, -1, 0.25, 2, -0.75};
  for (std::size_t i = 0; i < 5; ++i) {
    x(i, 0) = 1;
    x(i, 1) = -1;
    x(i, 2) = style[i];
  }
  const std::vector<double> y{1, 0, 1, 0.5, 0};
  const Objective loss = [&](std::span<const double> b, std::span<double> gradient) {
    std::ranges::fill(gradient, 0.0);
    double sum = 0;
    for (std::size_t i = 0; i < 5; ++i) {
      const double z = linear(x.row(i), b);
      sum += softplus(z) - y[i] * z;
      for (std::size_t j = 0; j < 3; ++j) gradient[j] += (sigmoid(z) - y[i]) * x(i, j);
    }
    return sum;
  };
  const std::vector<double> fitted = published_descent(loss, {0.5, 0.5, 0.5});
  const std::array<double, 3> golden{0.42011126323659403, 0.5798887367634061, 1.0638532343935678};
  for (std::size_t j = 0; j < 3; ++j) EXPECT_NEAR(fitted[j], golden[j], 1e-12);
}

ArenaJudgment game(const char* model, const char* question, const char* first, const char* second) {
  return {model, question, {first, second}};
}

TEST(ArenaHard, StrongVerdictsCountThreeTimes) {
  // m: first game B>>A (the model is B): 3 wins; second A>B: a win; then A=B, and a game without a verdict.
  const std::vector<ArenaJudgment> judgments{game("m", "1", "B>>A", "A>B"), game("m", "2", "A=B", ""),
                                             game("n", "1", "A>B", "B>>A")};
  const ArenaTable table = arena_table(judgments, {}, {ArenaVersion::V01, "base", {}, 42});
  ASSERT_EQ(table.scores.size(), 2u);
  EXPECT_EQ(table.scores[0].model, "m");
  EXPECT_EQ(table.scores[0].battles, 5u);
  EXPECT_DOUBLE_EQ(table.scores[0].score, 4.5 / 5);
  EXPECT_DOUBLE_EQ(table.scores[1].score, 0);
  EXPECT_EQ(table.without_verdict, 1u);
  const ArenaTable second = arena_table(judgments, {}, {ArenaVersion::V20, "base", {}, 42});
  EXPECT_EQ(second.scores[0].battles, 4u) << "v2.0 leaves a judgment out when either game has no verdict";
  EXPECT_DOUBLE_EQ(second.scores[0].score, 1);
  EXPECT_EQ(error_code_of([] {
              arena_table(std::vector{game("m", "1", "C>A", "A>B")}, {}, {ArenaVersion::V20, "base", {}, 42});
            }),
            ErrorCode::BadInput);
}

TEST(ArenaHard, StyleControlTakesThePlantedLengthOut) {
  // A judge of whom the length is all that counts, before a model that is longer: 1/2 when it is controlled for.
  Random random(2);
  std::vector<ArenaJudgment> judgments;
  StyleTable styles;
  for (int i = 0; i < 400; ++i) {
    const std::string question = std::to_string(i);
    const double ours = 200 + std::floor(400 * random.uniform());
    const double theirs = 150 + std::floor(400 * random.uniform());
    styles["m"][question] = {ours, std::floor(4 * random.uniform()), std::floor(9 * random.uniform()), 1};
    styles["base"][question] = {theirs, std::floor(4 * random.uniform()), 2, std::floor(5 * random.uniform())};
    const double z = 5 * (ours - theirs) / (ours + theirs);
    judgments.push_back(game("m", question.c_str(), random.uniform() < sigmoid(z) ? "B>A" : "A>B",
                             random.uniform() < sigmoid(z) ? "A>B" : "B>A"));
  }
  for (const ArenaVersion version : {ArenaVersion::V01, ArenaVersion::V20}) {
    ArenaSettings settings{version, "base", {}, 42};
    const ArenaScore raw = arena_table(judgments, styles, settings).scores.front();
    settings.control = {.length = true, .markdown = true};
    const ArenaTable controlled = arena_table(judgments, styles, settings);
    // The features have their mean taken out, so what is left is the mean style's: still ahead, by the mean alone.
    EXPECT_GT(controlled.style[0], 0.8);
    EXPECT_LT(std::abs(controlled.style[1]), 0.4);
    EXPECT_LT(raw.published.low, raw.score);
    EXPECT_LT(controlled.scores[0].clustered95.low, controlled.scores[0].score);
    EXPECT_GT(controlled.scores[0].clustered95.high, controlled.scores[0].score);
  }
}

TEST(MtBench, DropsWhatCouldNotBeRead) {
  const std::vector<Mark> marks{{"a", "81", 1, 9}, {"a", "82", 1, 7}, {"a", "81", 2, -1},
                                {"a", "82", 2, 4}, {"b", "81", 1, 5}, {"b", "81", 2, 6}};
  const std::vector<MarkScore> scores = mark_scores(marks, 0);
  EXPECT_EQ(scores[0].model, "a");
  EXPECT_DOUBLE_EQ(*scores[0].turns[0], 8);
  EXPECT_DOUBLE_EQ(*scores[0].turns[1], 4);
  EXPECT_DOUBLE_EQ(scores[0].overall.value, 20.0 / 3) << "the mean of marks, not of turns";
  EXPECT_EQ(scores[0].dropped, 1u);
}

TEST(MtBench, WhatIsLostInTheOtherOrderIsATie) {
  const std::vector<MarkedPair> pairs{{{"a", "b"}, "1", {"model_1", "model_1"}},
                                      {{"a", "b"}, "2", {"model_1", "model_2"}},
                                      {{"b", "a"}, "3", {"model_1", "tie"}},
                                      {{"a", "b"}, "4", {"model_2", "error"}},
                                      {{"b", "a"}, "5", {"model_2", "model_2"}}};
  const std::vector<PairScore> scores = pair_scores(pairs, "");
  EXPECT_EQ(scores[0].model, "a");
  EXPECT_EQ(scores[0].wins, 2u);
  EXPECT_EQ(scores[0].ties, 2u);
  EXPECT_DOUBLE_EQ(scores[0].adjusted.value, 0.75);
  EXPECT_EQ(pair_scores(pairs, "b").size(), 1u);
  try {
    pair_scores(pairs, "c");
    FAIL() << "a baseline that is in no pair";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), "the baseline c is in no pair");
    EXPECT_NE(error.hint().find("a, b"), std::string::npos);
  }
}

TEST(Agreement, CohensKappaByHand) {
  // 20 and 15 agreed, 5 and 10 not: observed 0.7, by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5.
  Ratings ratings;
  ratings.categories = 2;
  const auto add = [&](int a, int b, int times) {
    for (int k = 0; k < times; ++k) ratings.units.push_back({a, b});
  };
  add(0, 0, 20);
  add(0, 1, 5);
  add(1, 0, 10);
  add(1, 1, 15);
  add(1, -1, 7);  // the other said nothing
  ratings.prompts = counted(ratings.units.size());
  const Estimate kappa = cohen_kappa(ratings, 0, 1, 0);
  EXPECT_NEAR(kappa.value, 0.4, 1e-12);
  // The large-sample standard error is sqrt(0.7 * 0.3 / 50) / 0.5 = 0.13 (Cohen 1960).
  EXPECT_NEAR(kappa.ci95.high - kappa.ci95.low, 2 * 1.96 * 0.13, 0.08);
}

TEST(Agreement, KrippendorffsWorkedExample) {
  // Krippendorff (2011), "Computing Krippendorff's alpha-reliability", example C: four observers, twelve units, gaps.
  const std::vector<std::vector<int>> observers{{1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0},
                                                {1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3},
                                                {0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0},
                                                {1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0}};
  Ratings ratings;
  ratings.categories = 5;
  for (std::size_t u = 0; u < 12; ++u) {
    ratings.units.emplace_back();
    for (const auto& observer : observers) ratings.units.back().push_back(observer[u] - 1);
  }
  ratings.prompts = counted(12);
  EXPECT_NEAR(krippendorff_alpha(ratings, CategoryDistance::Nominal, 0).value, 0.743, 5e-4);
  EXPECT_NEAR(krippendorff_alpha(ratings, CategoryDistance::Interval, 0).value, 0.849, 5e-4);
}

/// What a judge with planted faults says of a pair that the first source wins with probability p.
JudgedPair judged(int i, double p, double place_bias, double silent, Random& random) {
  JudgedPair pair;
  pair.judge = "j";
  pair.pair = pair.prompt = std::to_string(i);
  for (std::size_t place = 0; place < 2; ++place) {
    if (random.uniform() < silent) continue;
    const bool by_place = random.uniform() < place_bias;  // the one in front, whatever it says
    pair.games[place] = by_place ? (place == 0 ? 1.0 : 0.0) : random.uniform() < p ? 1.0 : 0.0;
  }
  return pair;
}

/// 95 % intervals that hold their truth in 93 to 97 % of a thousand simulations: chance leaves 0.7 % to either side.
TEST(PairJudgments, IntervalsHoldThePlantedBiases) {
  constexpr int kSimulations = 1000;
  constexpr int kPairs = 400;
  constexpr double kPlaceBias = 0.2;
  constexpr double kQuality = 0.4;  // logit at equal lengths
  constexpr double kSlope = 1.0;
  constexpr double kDeviation = 300;
  std::array<int, 5> held{};
  const auto holds = [](const Interval& interval, double truth) {
    return interval.low <= truth && truth <= interval.high;
  };
  Random random(11);
  double mean_win = 0;  // of the honest judge, over the lengths
  constexpr int kDraws = 1'000'000;
  for (int k = 0; k < kDraws; ++k) mean_win += sigmoid(kQuality + kSlope * std::tanh(random.normal())) / kDraws;
  for (int k = 0; k < kSimulations; ++k) {
    std::vector<JudgedPair> biased;
    std::vector<JudgedPair> honest;
    for (int i = 0; i < kPairs; ++i) {
      const double longer = std::round(kDeviation * random.normal());
      const double p = sigmoid(kQuality + kSlope * std::tanh(longer / kDeviation));
      biased.push_back(judged(i, p, kPlaceBias, 0.05, random));
      honest.push_back(judged(i, p, 0, 0.05, random));
      biased.back().lengths = honest.back().lengths = {1000 + static_cast<std::int64_t>(longer), 1000};
    }
    const JudgedSources with_place = compare_sources(biased, 1).judges.front();
    held[0] += holds(with_place.wins.clustered95, (1 - kPlaceBias) * mean_win + kPlaceBias / 2);
    held[1] += holds(with_place.first_wins->ci95, 0.5 + kPlaceBias / 2);
    const JudgedSources fair = compare_sources(honest, 1).judges.front();
    held[2] += holds(fair.at_equal_lengths.ci95, sigmoid(kQuality));
    held[3] += holds(fair.length_slope.ci95, kSlope);
    held[4] += holds(fair.first_wins->ci95, 0.5);
  }
  for (std::size_t k = 0; k < held.size(); ++k) {
    EXPECT_GE(held[k], 0.93 * kSimulations) << "estimate " << k;
    EXPECT_LE(held[k], 0.97 * kSimulations) << "estimate " << k;
  }
}

TEST(PairJudgments, OneOrderAloneIsLeftOut) {
  JudgedPair whole{"j", "1", "1", {5, 3}, {1.0, 0.0}, {}};
  JudgedPair half{"j", "2", "2", {5, 3}, {1.0, std::nullopt}, {}};
  const ComparisonTable table = compare_sources(std::vector{whole, half}, 0);
  EXPECT_EQ(table.judges[0].left_out, 1u);
  EXPECT_EQ(table.judges[0].wins.rate, 0.5);
  EXPECT_EQ(table.judges[0].first_wins->value, 1);
}

TEST(PairJudgments, AJudgeWithoutAVerdictLeavesTheOthersTheirs) {
  JudgedPair half{"silent", "1", "1", {5, 3}, {1.0, std::nullopt}};
  half.refused = 1;
  const JudgedPair whole{"j", "1", "1", {5, 3}, {1.0, 1.0}};
  const ComparisonTable table = compare_sources(std::vector{half, whole}, 0);
  EXPECT_FALSE(table.judges[0].has_verdicts());
  EXPECT_EQ(table.judges[0].left_out, 1u);
  EXPECT_EQ(table.judges[0].refused, 1u);
  EXPECT_EQ(table.judges[1].wins.rate, 1);
  EXPECT_FALSE(table.judges[1].wins.clustered95.is_known()) << "of one prompt";
  EXPECT_TRUE(std::isnan(table.agreements[0].kappa.value));
}

TEST(PairJudgments, ProbabilitiesCountWhereAllGamesHaveThem) {
  JudgedPair first{"j", "1", "1", {5, 3}, {1.0, 0.0}, {}, {0.9, 0.4}};
  JudgedPair second{"j", "2", "2", {5, 3}, {1.0, 1.0}, {}, {0.6, 0.8}};
  const JudgedSources judged = compare_sources(std::vector{first, second}, 0).judges[0];
  EXPECT_DOUBLE_EQ(judged.weighted->value, (0.65 + 0.7) / 2);
  EXPECT_EQ(judged.wins.rate, 0.75) << "the verdicts' rate is what it was";
  second.weighted[1].reset();
  EXPECT_FALSE(compare_sources(std::vector{first, second}, 0).judges[0].weighted);
}

TEST(PairJudgments, TurnsAreApart) {
  JudgedPair first{"j", "1", "1", {5, 3}, {1.0, 1.0}};
  JudgedPair second{"j", "2", "2", {5, 3}, {0.0, 0.5}};
  EXPECT_TRUE(compare_sources(std::vector{first, second}, 0).judges[0].turns.empty());
  second.turn = 2;
  const std::vector<TurnRate> turns = compare_sources(std::vector{first, second}, 0).judges[0].turns;
  ASSERT_EQ(turns.size(), 2u);
  EXPECT_EQ(turns[0].rate.value, 1);
  EXPECT_EQ(turns[1].turn, 2);
  EXPECT_EQ(turns[1].rate.value, 0.25);
}

TEST(Csv, ReadsWhatStandsInQuotes) {
  const test::TemporaryFolder folder;
  write_file(folder / "a.csv", "x,text\r\n1.5,\"a, \"\"b\"\"\nc\"\n2,d\n");
  const CsvTable table(folder / "a.csv");
  EXPECT_EQ(table.rows(), 2u);
  EXPECT_EQ(table.text(0, table.required("text")), "a, \"b\"\nc");
  EXPECT_EQ(table.number(1, 0), 2);
  EXPECT_EQ(error_code_of([&] { table.number(0, 1); }), ErrorCode::BadInput);
  EXPECT_EQ(error_code_of([&] { table.required("y"); }), ErrorCode::BadInput);
  write_file(folder / "b.csv", "x,y\n1\n");
  EXPECT_EQ(error_code_of([&] { CsvTable(folder / "b.csv"); }), ErrorCode::BadInput);
}

}  // namespace
}  // namespace coala
