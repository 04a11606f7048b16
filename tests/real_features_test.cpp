// Real features beside the checkout: the figures that design notes and papers give must come out.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "eval/metrics.h"
#include "features/feature_set.h"
#include "features/feature_subset.h"
#include "support.h"
#include "train/training_run.h"

namespace coala {
namespace {

std::vector<std::size_t> every(std::size_t step, std::size_t first, std::size_t count) {
  std::vector<std::size_t> rows;
  for (std::size_t k = 0; k < count; ++k) rows.push_back(first + k * step);
  return rows;
}

TEST(RealFeatures, ReviewsAreToldApart) {
  COALA_NEEDS_SHARED("data/features/imdb_minilm.safetensors");
  const FeatureSet all = load_features(test::shared_file("data/features/imdb_minilm.safetensors"));
  ASSERT_EQ(all.rows(), 25000u);
  EvaluationPlan plan;
  plan.held_out = subset(all, every(6, 3, 4000));
  FitSettings settings;
  settings.gates = 8;
  ThreadPool pool;
  const TrainingRun run = train_and_evaluate(subset(all, every(6, 0, 4000)), plan, settings, pool);
  const auto& metrics = run.metrics;
  // Logistic regression on all 20,000 rows has 81.7; a sixth of them costs two to three points.
  EXPECT_GE(metrics.at("eval_accuracy").get<double>(), 0.78);
  EXPECT_GE(metrics.at("baseline/logistic_accuracy").get<double>(), 0.78);
  // Not significantly worse than the baseline.
  const bool behind =
      metrics.at("comparison/head_only_right").get<int>() < metrics.at("comparison/logistic_only_right").get<int>();
  EXPECT_TRUE(!behind || metrics.at("comparison/p_value").get<double>() > 0.05) << metrics.dump(1);
  EXPECT_LE(metrics.at("solver").at("relative_gap").get<double>(), 2 * settings.tolerance);
  RecordProperty("accuracy", metrics.at("eval_accuracy").dump());
  RecordProperty("logistic", metrics.at("baseline/logistic_accuracy").dump());
}

TEST(RealFeatures, LongerAnswersWin) {
  COALA_NEEDS_SHARED("data/features/alpaca_minilm_pairs.safetensors");
  const FeatureSet set = load_features(test::shared_file("data/features/alpaca_minilm_pairs.safetensors"));
  ASSERT_EQ(set.rows(), 8000u);
  Scores scores;
  for (std::size_t i = 0; i < set.rows(); ++i) {
    scores.chosen.push_back(static_cast<double>(set.length_chosen[i]));
    scores.rejected.push_back(static_cast<double>(set.length_rejected[i]));
  }
  const nlohmann::ordered_json metrics = evaluation_metrics(set, scores, {}, 0);
  const auto length = metrics.at("baseline/length_accuracy").get<double>();
  EXPECT_NEAR(length, 0.779, 0.0005);
  // Scored by length itself: a strict win counts ties as lost, the rule counts them half.
  const double ties = metrics.at("eval_ties").get<double>() / 8000;
  EXPECT_GT(ties, 0);
  EXPECT_NEAR(metrics.at("eval_rewards/accuracies").get<double>(), length - ties / 2, 1e-12);
  EXPECT_NEAR(metrics.at("score_length_correlation").get<double>(), 1, 1e-12);
}

}  // namespace
}  // namespace coala
