// Intervals, tests and the metrics of the contract.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/metric_json.h"
#include "core/random.h"
#include "core/safetensors.h"
#include "eval/intervals.h"
#include "eval/metrics.h"
#include "support.h"
#include "synthetic.h"

namespace coala {
namespace {

TEST(Intervals, WilsonAgainstKnownValues) {
  // Wilson (1927) by hand: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), z = 1.959964.
  struct Known {
    double successes, trials, low, high;
  };
  for (const Known& known : {Known{81, 263, 0.2552647, 0.3662210},  // Newcombe (1998), table I, method 3: .2553 .3662
                             Known{15, 148, 0.0624, 0.1605},        // the same: .0624 .1605
                             Known{0, 20, 0.0, 0.1611}, Known{1, 29, 0.0061, 0.1718}}) {
    const Interval interval = wilson_interval(known.successes, known.trials);
    EXPECT_NEAR(interval.low, known.low, 6e-5) << known.successes << " of " << known.trials;
    EXPECT_NEAR(interval.high, known.high, 6e-5) << known.successes << " of " << known.trials;
  }
  const Interval all = wilson_interval(20, 20);
  EXPECT_NEAR(all.low, 1 - 0.1611, 6e-5);
  EXPECT_EQ(all.high, 1);
  EXPECT_EQ(wilson_interval(0, 0).low, 0);
  EXPECT_EQ(wilson_interval(0, 0).high, 1);
  EXPECT_NEAR(wilson_interval(10.5, 21).low + wilson_interval(10.5, 21).high, 1, 1e-12);  // ties half: symmetric
}

TEST(Intervals, SignTestIsExact) {
  EXPECT_EQ(sign_test(0, 0), 1);
  EXPECT_NEAR(sign_test(0, 1), 1, 1e-12);
  EXPECT_NEAR(sign_test(1, 0), 1, 1e-12);
  EXPECT_NEAR(sign_test(0, 5), 0.0625, 1e-12);
  EXPECT_NEAR(sign_test(5, 0), 0.0625, 1e-12);
  EXPECT_NEAR(sign_test(1, 7), 2 * 9.0 / 256, 1e-12);
  EXPECT_NEAR(sign_test(2, 8), 2 * (1 + 10 + 45) / 1024.0, 1e-12);
  EXPECT_NEAR(sign_test(4, 4), 1, 1e-12);
  // Large counts: the normal approximation with continuity correction, good to a few per cent here.
  const double z = (60 - 1) / std::sqrt(10000.0);
  EXPECT_NEAR(sign_test(4970, 5030), std::erfc(z / std::sqrt(2.0)), 0.01);
  EXPECT_LT(sign_test(1000, 9000), 1e-300);
  EXPECT_GE(sign_test(1000, 9000), 0);
}

TEST(Intervals, Correlation) {
  const std::vector<double> x{1, 2, 3, 4};
  EXPECT_NEAR(correlation(x, std::vector<double>{2, 4, 6, 8}), 1, 1e-15);
  EXPECT_NEAR(correlation(x, std::vector<double>{8, 6, 4, 2}), -1, 1e-15);
  EXPECT_NEAR(correlation(x, std::vector<double>{1, -1, -1, 1}), 0, 1e-15);
  EXPECT_NEAR(correlation(std::vector<double>{1, 2, 3}, std::vector<double>{1, 3, 2}), 0.5, 1e-15);
  EXPECT_TRUE(std::isnan(correlation(x, std::vector<double>{5, 5, 5, 5})));
  EXPECT_TRUE(std::isnan(correlation(std::vector<double>{1}, std::vector<double>{2})));
  // Constants whose mean rounds: still constant.
  const std::vector<double> a(1000, 0.1);
  std::vector<double> b(1000);
  std::iota(b.begin(), b.end(), 0.0);
  EXPECT_TRUE(std::isnan(correlation(a, b)));
  EXPECT_TRUE(std::isnan(correlation(b, a)));
  EXPECT_TRUE(std::isnan(correlation(a, std::vector<double>(1000, 0.7))));
}

TEST(Intervals, BootstrapCoversTheMean) {
  // 200 values of 100 prompts, two of each alike: an interval that took them for independent would cover 83 %.
  constexpr int kSimulations = 400;
  Random random(1);
  int covered = 0;
  for (int simulation = 0; simulation < kSimulations; ++simulation) {
    std::vector<double> values(200);
    std::vector<std::int64_t> prompts(200);
    for (std::size_t i = 0; i < 200; ++i) {
      prompts[i] = static_cast<std::int64_t>(i / 2);
      values[i] = i % 2 == 0 ? 0.3 + random.normal() : values[i - 1];
    }
    const Interval interval = bootstrap_mean(values, prompts, static_cast<std::uint64_t>(simulation));
    covered += interval.low <= 0.3 && 0.3 <= interval.high ? 1 : 0;
  }
  // 95 % (a little less, for 100 clusters) +- 2.2 standard errors of 400 simulations.
  EXPECT_GE(covered, static_cast<int>(0.92 * kSimulations));
  EXPECT_LE(covered, static_cast<int>(0.98 * kSimulations));
}

/// From 20,001 prompts on there is nothing to draw: the interval is the one that the draws of 20,000 come to.
TEST(Intervals, ManyPromptsHaveTheNormalInterval) {
  Random random(3);
  std::vector<double> values;
  std::vector<std::int64_t> prompts;
  for (std::int64_t prompt = 0; prompt < 20'001; ++prompt) {
    const double own = random.normal();
    for (std::uint64_t k = random.below(3) + 1; k > 0; --k) {
      values.push_back(own + 0.3 * random.normal());
      prompts.push_back(prompt);
    }
  }
  const Interval normal = bootstrap_mean(values, prompts, 0);
  while (prompts.back() == 20'000) {
    prompts.pop_back();
    values.pop_back();
  }
  const Interval drawn = bootstrap_mean(values, prompts, 0);
  const double width = drawn.high - drawn.low;
  EXPECT_NEAR(normal.low, drawn.low, 0.06 * width);  // a percentile of 2,000 draws has a relative error of 4 %
  EXPECT_NEAR(normal.high, drawn.high, 0.06 * width);
}

TEST(Intervals, OnePromptHasNone) {
  const std::vector<double> values{1, 0, 1};
  const std::vector<std::int64_t> one(3, 7);
  EXPECT_FALSE(bootstrap_mean(values, one, 0).is_known());
  EXPECT_TRUE(bootstrap_mean(values, std::vector<std::int64_t>{7, 7, 8}, 0).is_known());
}

TEST(Intervals, BootstrapDetails) {
  const std::vector<double> values{1, 2, 3, 4};
  const std::vector<std::int64_t> own{0, 1, 2, 3};
  const Interval first = bootstrap_mean(values, own, 5);
  const Interval again = bootstrap_mean(values, own, 5);
  EXPECT_EQ(first.low, again.low);
  EXPECT_EQ(first.high, again.high);
  EXPECT_GE(first.low, 1);
  EXPECT_LE(first.high, 4);
  EXPECT_LT(first.low, 2.5);
  EXPECT_GT(first.high, 2.5);
  // The standard error is sd / sqrt(n) for own prompts.
  Random random(2);
  std::vector<double> many(400);
  for (double& value : many) value = random.normal();
  std::vector<std::int64_t> prompts(400);
  std::iota(prompts.begin(), prompts.end(), 0);
  const Interval wide = bootstrap_mean(many, prompts, 0);
  EXPECT_NEAR(wide.high - wide.low, 2 * 1.96 / 20, 0.03);
}

FeatureSet pairs_of(std::size_t n) {
  FeatureSet set = test::pair_set(
      n, 2, [](std::span<const float>) { return 0.0; }, 1);
  return set;
}

TEST(Metrics, PairsHaveTheKeysOfTheContract) {
  FeatureSet set = pairs_of(4);
  set.length_chosen = {10, 5, 7, 7};
  set.length_rejected = {5, 10, 7, 1};
  Scores scores;
  scores.chosen = {2, 1, 0.5, 3};
  scores.rejected = {1, 1, 1.5, -1};
  BaselineScores baseline;
  baseline.logistic.chosen = {0, 1, 1, 0};
  baseline.logistic.rejected = {1, 0, 0, 0};
  const nlohmann::ordered_json json = metrics_json(evaluation_metrics(set, scores, baseline, 0));
  EXPECT_EQ(json.at("eval_rewards/accuracies"), 0.5);  // the tie of row 1 is no win
  EXPECT_EQ(json.at("eval_ties"), 1);
  EXPECT_NEAR(json.at("eval_rewards/margins").get<double>(), (1 + 0 - 1 + 4) / 4.0, 1e-12);
  EXPECT_NEAR(json.at("eval_rewards/chosen").get<double>(), 6.5 / 4, 1e-12);
  EXPECT_NEAR(json.at("eval_rewards/rejected").get<double>(), 2.5 / 4, 1e-12);
  const auto sigmoid_of = [](double t) { return 1 / (1 + std::exp(-t)); };
  EXPECT_NEAR(json.at("eval_reward_margin").get<double>(), (sigmoid_of(1) + 0.5 + sigmoid_of(-1) + sigmoid_of(4)) / 4,
              1e-12);
  EXPECT_NEAR(json.at("eval_loss").get<double>(),
              -(std::log(sigmoid_of(1)) + std::log(0.5) + std::log(sigmoid_of(-1)) + std::log(sigmoid_of(4))) / 4,
              1e-12);
  EXPECT_EQ(json.at("baseline/logistic_accuracy"), 0.5);
  EXPECT_EQ(json.at("baseline/length_accuracy"), (1 + 0 + 0.5 + 1) / 4);
  EXPECT_EQ(json.at("comparison/head_only_right"), 2);
  EXPECT_EQ(json.at("comparison/logistic_only_right"), 2);
  EXPECT_NEAR(json.at("comparison/p_value").get<double>(), 1, 1e-12);
  EXPECT_NEAR(json.at("score_length_correlation").get<double>(),
              correlation(std::vector<double>{1, 0, -1, 4}, std::vector<double>{5, -5, 0, 6}), 1e-12);
  EXPECT_EQ(json.at("eval_rows"), 4);
  for (const char* key :
       {"eval_rewards/accuracies", "eval_rewards/margins", "eval_rewards/chosen", "eval_rewards/rejected",
        "eval_reward_margin", "baseline/logistic_accuracy", "baseline/length_accuracy"}) {
    const auto interval = json.at(std::string(key) + "_ci95");
    ASSERT_EQ(interval.size(), 2u) << key;
    EXPECT_LE(interval[0].get<double>(), json.at(key).get<double>()) << key;
    EXPECT_GE(interval[1].get<double>(), json.at(key).get<double>()) << key;
  }
  EXPECT_FALSE(json.contains("eval_accuracy"));
  EXPECT_EQ(json.dump().find("null"), std::string::npos);
  // Own prompts: Wilson. Shared prompts: the bootstrap over them.
  const Interval wilson = wilson_interval(2, 4);
  EXPECT_EQ(json.at("eval_rewards/accuracies_ci95")[0], wilson.low);
  set.prompt_id = {0, 0, 1, 1};
  const nlohmann::ordered_json clustered = metrics_json(evaluation_metrics(set, scores, baseline, 0));
  EXPECT_NE(clustered.at("eval_rewards/accuracies_ci95")[0], wilson.low);
}

TEST(Metrics, AbsentIsAbsent) {
  FeatureSet set = pairs_of(3);
  Scores scores;
  scores.chosen = {1, 1, 1};
  scores.rejected = {0, 0, 0};
  nlohmann::ordered_json json = metrics_json(evaluation_metrics(set, scores, {}, 0));
  for (const char* key : {"baseline/logistic_accuracy", "baseline/length_accuracy", "score_length_correlation",
                          "comparison/p_value", "eval_accuracy"}) {
    EXPECT_FALSE(json.contains(key)) << key;
    EXPECT_FALSE(json.contains(std::string(key) + "_ci95")) << key;
  }
  // A correlation with a constant does not exist.
  set.length_chosen = {1, 2, 3};
  set.length_rejected = {1, 1, 1};
  json = metrics_json(evaluation_metrics(set, scores, {}, 0));
  EXPECT_FALSE(json.contains("score_length_correlation"));
  EXPECT_EQ(json.at("baseline/length_accuracy"), 2.5 / 3);
  EXPECT_EQ(json.dump().find("null"), std::string::npos);
}

TEST(Metrics, LabelledRowsHaveNoPairKeys) {
  FeatureSet set = test::labelled_set(
      4, 2, [](std::span<const float>) { return 0.0; }, 2);
  set.labels = {1, 1, -1, -1};
  set.length = {4, 3, 2, 1};
  Scores scores;
  scores.single = {1, 0, -2, 3};
  BaselineScores baseline;
  baseline.logistic.single = {1, 1, -1, -1};
  const nlohmann::ordered_json json = metrics_json(evaluation_metrics(set, scores, baseline, 0));
  EXPECT_EQ(json.at("eval_accuracy"), 0.5);  // a score of 0 is not on the right side
  EXPECT_EQ(json.at("eval_ties"), 1);
  EXPECT_EQ(json.at("baseline/logistic_accuracy"), 1.0);
  EXPECT_EQ(json.at("comparison/logistic_only_right"), 2);
  EXPECT_EQ(json.at("comparison/head_only_right"), 0);
  EXPECT_TRUE(json.contains("eval_accuracy_ci95"));
  EXPECT_TRUE(json.contains("score_length_correlation"));
  for (const auto& [key, value] : json.items()) {
    EXPECT_EQ(key.find("rewards/"), std::string::npos) << key;
    EXPECT_EQ(key.find("reward_margin"), std::string::npos) << key;
    EXPECT_NE(key, "baseline/length_accuracy");
    EXPECT_FALSE(value.is_null()) << key;
  }
}

Head hand_made_head() {
  Random random(3);
  Head head;
  head.network.theta1 = test::normal_matrix(4, 6, random);
  head.network.gates = test::normal_matrix(4, 6, random);
  for (float& value : head.network.gates.row(0)) value = 0;
  head.network.theta2 = {0.5f, -1, 2, 0.25f};
  head.network.bias = -0.3f;
  for (int j = 0; j < 6; ++j) {
    head.transform.mean.push_back(static_cast<float>(random.normal()));
    head.transform.scale.push_back(static_cast<float>(0.5 + random.uniform()));
  }
  head.metadata = {{"coala.format", "head-1"}, {"activation", "gated"}};
  return head;
}

TEST(Metrics, ScoresThatOverflowAreAnError) {
  Head head = hand_made_head();
  FeatureSet set = test::labelled_set(
      2, 6, [](std::span<const float>) { return 0.0; }, 4);
  EXPECT_EQ(score_features(head, set).single.size(), 2u);
  head.transform.scale[0] = 3e38f;
  Matrix<float> features = set.features.matrix();
  features(1, 0) = 3e38f;
  set.features = std::move(features);
  EXPECT_EQ(test::error_code_of([&] { score_features(head, set); }), ErrorCode::BadInput);
}

TEST(Interop, PythonReadsTheHeadInThreeLines) {
  const char* const chosen = std::getenv("COALA_PYTHON");  // `make test` sets it to one with the packages
  const std::string python = chosen != nullptr ? chosen : "python3";
  if (std::system((python + " -c 'import numpy, safetensors.numpy' >/dev/null 2>&1").c_str()) != 0) {
    GTEST_SKIP() << python << " has no numpy or no safetensors";
  }
  const test::TemporaryFolder folder;
  const Head head = hand_made_head();
  save_head(head, folder / "head.safetensors");
  Random random(5);
  const Matrix<float> features = test::normal_matrix(200, 6, random, 2);
  SafetensorsWriter writer(folder / "features.safetensors");
  writer.declare("f", Dtype::F32, {200, 6});
  writer.append(features.values());
  writer.commit();
  // As docs/head-file.md prints it.
  write_file(folder / "score.py", R"(import sys
from safetensors.numpy import load_file
f = load_file(sys.argv[1] + "/features.safetensors")["f"]
h = load_file(sys.argv[1] + "/head.safetensors"); x = (f - h["mean"]) * h["scale"]
score = (((x @ h["gates"]) >= 0) * (x @ h["theta1"])) @ h["theta2"] + h["bias"]
open(sys.argv[1] + "/scores.txt", "w").write("\n".join(repr(float(s)) for s in score))
)");
  const std::string folder_name = folder.path().string();
  ASSERT_EQ(std::system((python + " " + folder_name + "/score.py " + folder_name).c_str()), 0);
  std::ifstream scores(folder / "scores.txt");
  for (std::size_t i = 0; i < 200; ++i) {
    double score = std::nan("");
    ASSERT_TRUE(scores >> score) << i;
    EXPECT_NEAR(score, head.score(features.row(i)), 1e-5 * (1 + std::abs(score))) << i;
  }
}

}  // namespace
}  // namespace coala
