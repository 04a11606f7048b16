// From a feature set to a head and its held-out numbers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"
#include "core/metric_json.h"
#include "core/progress.h"
#include "features/feature_subset.h"
#include "support.h"
#include "synthetic.h"
#include "train/control.h"
#include "train/summary.h"
#include "train/training_run.h"

namespace coala {
namespace {

double linear_truth(std::span<const float> x) {
  return 1.5 * static_cast<double>(x[0]) - static_cast<double>(x[1]);
}

FitSettings quick() {
  FitSettings settings;
  settings.gates = 3;
  settings.path_length = 4;
  return settings;
}

TrainingRun run(FeatureSet set, EvaluationPlan plan, const FitSettings& settings = quick()) {
  ThreadPool pool(1);
  return train_and_evaluate(std::move(set), std::move(plan), settings, pool);
}

/// Three rows of each prompt, lengths that say nothing.
FeatureSet pairs(std::size_t n, std::uint64_t seed) {
  FeatureSet set = test::pair_set(n, 4, linear_truth, seed);
  Random random(seed + 1);
  set.has_prompt_id = true;
  for (std::size_t i = 0; i < n; ++i) {
    set.prompt_id[i] = static_cast<std::int64_t>(1000 * seed + i / 3);
    set.length_chosen.push_back(static_cast<std::int32_t>(random.below(500)));
    set.length_rejected.push_back(static_cast<std::int32_t>(random.below(500)));
  }
  return set;
}

void expect_contract(const RunMetrics& run, bool pair_rows) {
  const nlohmann::ordered_json metrics = metrics_json(run);
  for (const char* key :
       {"eval_rows", "eval_prompts", "evaluation", "train_rows", "train_prompts", "dimension", "data", "settings",
        "solver", "phase2", "flops", "seconds", "peak_rss_bytes", "eval_loss", "loss", "baseline/random_accuracy",
        "baseline/logistic_accuracy", "baseline/logistic_accuracy_ci95"}) {
    EXPECT_TRUE(metrics.contains(key)) << key;
  }
  for (const char* key : {"eval_rewards/accuracies", "eval_rewards/margins", "eval_rewards/chosen",
                          "eval_rewards/rejected", "eval_reward_margin", "baseline/length_accuracy"}) {
    EXPECT_EQ(metrics.contains(key), pair_rows) << key;
    EXPECT_EQ(metrics.contains(std::string(key) + "_ci95"), pair_rows) << key;
  }
  for (const char* key : {"rewards/accuracies", "rewards/margins", "rewards/chosen", "rewards/rejected"}) {
    EXPECT_EQ(metrics.contains(key), pair_rows) << key;
  }
  EXPECT_EQ(metrics.contains("eval_accuracy"), !pair_rows);
  EXPECT_EQ(metrics.contains("accuracy"), !pair_rows);
  EXPECT_EQ(metrics.contains("score_length_correlation"), pair_rows);
  for (const char* key :
       {"model_class", "loss", "status", "selection_cut_short", "objective", "dual_objective", "relative_gap",
        "admm_iterations", "cg_iterations", "seconds", "passes_over_x", "bytes_of_x"}) {
    // The published class has no bound to show.
    const bool certified = metrics.at("solver").at("model_class") != "cronos";
    const bool of_certificate = std::string(key) == "dual_objective" || std::string(key) == "relative_gap";
    EXPECT_EQ(metrics.at("solver").contains(key), certified || !of_certificate) << key;
  }
  EXPECT_EQ(metrics.at("flops").at("total").get<double>(),
            metrics.at("flops").at("phase1").get<double>() + metrics.at("flops").at("phase2").get<double>());
  EXPECT_GT(metrics.at("flops").at("phase1").get<double>(), 0);
  EXPECT_EQ(metrics.dump().find("null"), std::string::npos) << metrics.dump(1);
  EXPECT_FALSE(summary(run).empty());
}

TEST(Training, MetricsOfEveryPlanAndClass) {
  set_quiet(true);
  for (const ModelClass model_class : {ModelClass::Gated, ModelClass::Linear, ModelClass::Cronos, ModelClass::Relu}) {
    for (const bool pair_rows : {true, false}) {
      const FeatureSet set = pair_rows ? pairs(240, 1) : test::labelled_set(240, 4, linear_truth, 1);
      FitSettings settings = quick();
      settings.model_class = model_class;
      std::vector<EvaluationPlan> plans(3);
      plans[1].folds = 3;
      plans[2].held_out = pair_rows ? pairs(120, 2) : test::labelled_set(120, 4, linear_truth, 2);
      for (const EvaluationPlan& plan : plans) {
        SCOPED_TRACE(::testing::Message() << name_of(model_class) << " pairs " << pair_rows << " folds " << plan.folds
                                          << " own " << plan.held_out.has_value());
        const TrainingRun result = run(set, plan, settings);
        expect_contract(result.metrics, pair_rows);
        const auto rows = result.metrics.evaluation.rows;
        const auto trained = result.metrics.train_rows;
        if (plan.folds > 0) {
          EXPECT_EQ(rows, 240u);  // every row is held out once, and the head is trained on all
          EXPECT_EQ(trained, 240u);
        } else if (plan.held_out) {
          EXPECT_EQ(rows, 120u);
          EXPECT_EQ(trained, 240u);
        } else {
          EXPECT_EQ(rows + trained, 240u);
          EXPECT_NEAR(static_cast<double>(rows), 48, 30);
        }
        EXPECT_GE(result.metrics.evaluation.accuracy().value, 0.5);  // a few dozen rows: better than a coin
        EXPECT_EQ(result.head.network.neurons(), result.fit.network.neurons());
      }
    }
  }
}

TEST(Training, EvaluatedRowsAreThoseOfTheMetrics) {
  set_quiet(true);
  FeatureSet set = pairs(240, 9);
  for (std::size_t i = 0; i < 240; ++i) set.prefix_tokens.push_back(i % 3 == 2 ? 0 : 16);  // two beginnings, one whole
  const FeatureSet whole = whole_rows(set);
  std::vector<EvaluationPlan> plans(3);
  plans[1].folds = 3;
  plans[2].held_out = set;
  for (const EvaluationPlan& plan : plans) {
    const TrainingRun result = run(set, plan);
    const EvaluatedRows& rows = result.evaluated;
    const std::size_t n = rows.margins.size();
    ASSERT_EQ(result.metrics.evaluation.rows, n);
    ASSERT_EQ(rows.record.size(), n);
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t k = rows.record[i];
      ASSERT_LT(k, whole.rows());
      EXPECT_EQ(rows.prompt_id[i], whole.prompt_id[k]);
      EXPECT_EQ(rows.lengths[i], static_cast<double>(whole.length_chosen[k]) - whole.length_rejected[k]);
      const double margin = result.head.score(whole.chosen.row(k)) - result.head.score(whole.rejected.row(k));
      if (plan.folds == 0) {
        EXPECT_EQ(rows.margins[i], margin);
      }
      sum += rows.margins[i];
    }
    EXPECT_NEAR(sum / static_cast<double>(n), result.metrics.evaluation.pairs->margin.value, 1e-9);
    const double right = static_cast<double>(std::ranges::count_if(rows.margins, [](double m) { return m > 0; }));
    EXPECT_NEAR(right / static_cast<double>(n), result.metrics.evaluation.pairs->accuracy.value, 1e-12);

    const Examples examples = surest_rows(rows, 4);
    EXPECT_LE(examples.right.size(), 4u);
    std::set<std::size_t> shown;
    for (const std::vector<Example>* kind : {&examples.right, &examples.wrong}) {
      for (std::size_t i = 0; i < kind->size(); ++i) {
        EXPECT_EQ((*kind)[i].margin > 0, kind == &examples.right);
        EXPECT_GE(std::abs(kind->front().margin), std::abs((*kind)[i].margin));
        EXPECT_TRUE(shown.insert((*kind)[i].record).second);
      }
    }
    EXPECT_EQ(std::abs(examples.right.front().margin), *std::ranges::max_element(rows.margins));
  }
}

TEST(Training, ThePathHasOneChosenPoint) {
  set_quiet(true);
  for (const ModelClass model_class : {ModelClass::Gated, ModelClass::Linear}) {
    FitSettings settings = quick();
    settings.model_class = model_class;
    const TrainingRun result = run(test::labelled_set(300, 4, linear_truth, 3), {}, settings);
    std::size_t chosen = 0;
    for (const CandidateMetrics& point : result.metrics.solver.path) {
      if (!point.chosen) continue;
      ++chosen;
      EXPECT_EQ(point.penalty, result.metrics.solver.beta);
    }
    EXPECT_EQ(chosen, 1u);
  }
}

TEST(Training, PhaseTwoCurveIsShortAndWhole) {
  set_quiet(true);
  for (const PhaseTwoSolver solver : {PhaseTwoSolver::Newton, PhaseTwoSolver::Accelerated, PhaseTwoSolver::AdamW}) {
    FitSettings settings = quick();
    settings.phase_two.solver = solver;
    settings.phase_two.epochs = 250;
    const TrainingRun result = run(pairs(240, 1), {}, settings);
    const PhaseTwoMetrics& phase_two = result.metrics.phase_two;
    const CurveMetrics& curve = phase_two.curve;
    const std::size_t points = curve.loss.size();
    EXPECT_LE(points, 101u);
    EXPECT_EQ(curve.margin.size(), points);
    ASSERT_EQ(curve.iteration.size(), points);
    EXPECT_EQ(curve.iteration.front(), 0u);
    EXPECT_EQ(curve.iteration.back(), static_cast<std::uint64_t>(phase_two.iterations));
    EXPECT_EQ(curve.loss.front(), phase_two.objective_before);
    for (std::size_t k = 1; k < points; ++k) EXPECT_GT(curve.iteration[k], curve.iteration[k - 1]);
  }
}

TEST(Training, HeldOutPromptsAreNotTrainedOn) {
  set_quiet(true);
  // Labels are drawn per prompt: only a leak can predict those of a held-out one. 80 prompts: 0.5 + 3 sqrt(1/320).
  Random random(3);
  FeatureSet set = test::labelled_set(400, 50, linear_truth, 4);
  Matrix<float> features = set.features.matrix();
  for (std::size_t i = 0; i < 400; ++i) {
    const std::size_t prompt = i % 80;
    set.prompt_id[i] = static_cast<std::int64_t>(prompt);
    set.labels[i] = i < 80 ? (random.below(2) == 0 ? 1 : -1) : set.labels[prompt];
    if (i >= 80) std::copy_n(features.row(prompt).data(), 50, features.row(i).data());
  }
  set.features = std::move(features);
  EvaluationPlan folds;
  folds.folds = 4;
  EXPECT_LE(run(set, folds).metrics.evaluation.accuracy().value, 0.67);
  EvaluationPlan half;
  half.fraction = 0.5;
  const TrainingRun split = run(set, half);
  EXPECT_LE(split.metrics.evaluation.accuracy().value, 0.73);  // 40 prompts
  EXPECT_EQ(split.metrics.evaluation.rows % 5, 0u);            // whole prompts
}

TEST(Training, SharedPromptsAreCounted) {
  struct Warnings : NewsSink {
    Warnings() { install_news_sink(this); }
    ~Warnings() override { install_news_sink(nullptr); }
    void line(const std::string&) override {}
    void warning(const std::string& text) override { all += text; }
    void progress(const ProgressState&) override {}
    std::string all;
  } warnings;
  EvaluationPlan plan;
  plan.held_out = pairs(60, 1);  // the first prompts of the training data
  const TrainingRun result = run(pairs(240, 1), plan);
  EXPECT_NE(warnings.all.find("60 of 60"), std::string::npos) << warnings.all;
  EXPECT_EQ(result.metrics.evaluation.leaks.value().shared_prompt_rows, 60u);
}

TEST(Training, RefusesSetsThatDoNotBelongTogether) {
  const auto code = [](const FeatureSet& train, std::optional<FeatureSet> held_out, int folds = 0) {
    EvaluationPlan plan;
    plan.held_out = std::move(held_out);
    plan.folds = folds;
    return test::error_code_of([&] { run(train, plan); });
  };
  const FeatureSet labelled = test::labelled_set(100, 4, linear_truth, 5);
  EXPECT_EQ(code(labelled, pairs(60, 6)), ErrorCode::Mismatch);
  EXPECT_EQ(code(labelled, test::labelled_set(50, 5, linear_truth, 7)), ErrorCode::Mismatch);
  FeatureSet other_model = labelled;
  FeatureSet one_model = labelled;
  one_model.metadata = {{"backbone.hash", "a"}};
  other_model.metadata = {{"backbone.hash", "b"}};
  EXPECT_EQ(code(one_model, other_model), ErrorCode::Mismatch);
  FeatureSet single = labelled;
  std::fill(single.prompt_id.begin(), single.prompt_id.end(), 3);
  EXPECT_EQ(code(single, std::nullopt), ErrorCode::BadInput);
  EXPECT_EQ(code(single, std::nullopt, 3), ErrorCode::BadInput);
  // Two prompts: with one held out as a whole the other is alone, and nothing can be selected. Prompts that were cut
  // in two would pass.
  FeatureSet two = labelled;
  for (std::size_t i = 0; i < 100; ++i) two.prompt_id[i] = static_cast<std::int64_t>(i % 2);
  EXPECT_EQ(code(two, std::nullopt), ErrorCode::BadInput);
  EXPECT_EQ(code(two, std::nullopt, 3), ErrorCode::BadInput);
}

TEST(Training, OfFewPromptsOneIsHeldOutWhateverTheHashSays) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    FeatureSet set = pairs(40, 4);
    for (std::size_t i = 0; i < 40; ++i) set.prompt_id[i] = static_cast<std::int64_t>(i % 4);
    FitSettings settings = quick();
    settings.seed = seed;
    EvaluationPlan plan;
    plan.fraction = 0.1;  // of four prompts the hash holds out none in two cases of three
    const TrainingRun trained = run(std::move(set), plan, settings);
    const std::uint64_t held_out = trained.metrics.evaluation.prompts.value();
    EXPECT_GE(held_out, 1u) << seed;
    EXPECT_EQ(held_out + trained.metrics.train_prompts, 4u) << seed;
  }
}

TEST(Training, SubsetTakesRowsOfEveryColumn) {
  FeatureSet set = pairs(10, 8);
  set.weight.assign(10, 1.0f);
  set.weight[7] = 5;
  set.margin.assign(10, 0.0f);
  set.margin[2] = 3;
  const FeatureSet part = subset(set, {7, 2, 7});
  ASSERT_EQ(part.rows(), 3u);
  EXPECT_EQ(part.dimension(), 4u);
  for (std::size_t j = 0; j < 4; ++j) {
    EXPECT_EQ(part.chosen(0, j), set.chosen(7, j));
    EXPECT_EQ(part.rejected(1, j), set.rejected(2, j));
    EXPECT_EQ(part.chosen(2, j), set.chosen(7, j));
  }
  EXPECT_EQ(part.weight, (std::vector<float>{5, 1, 5}));
  EXPECT_EQ(part.margin, (std::vector<float>{0, 3, 0}));
  EXPECT_EQ(part.prompt_id[1], set.prompt_id[2]);
  EXPECT_EQ(part.length_chosen[0], set.length_chosen[7]);
  EXPECT_EQ(part.length_rejected[1], set.length_rejected[2]);
  EXPECT_TRUE(part.has_prompt_id);
  EXPECT_EQ(part.path, set.path);
}

TEST(Training, ControlSwapsAboutHalfOfThePairsAndNothingElse) {
  FeatureSet before = pairs(400, 5);
  before.token_sums_chosen = before.chosen;  // any numbers
  before.token_sums_rejected = before.rejected;
  before.token_basis = std::make_shared<const TokenBasis>();
  FeatureSet after = before;
  shuffle_preferences(after, 9);
  std::size_t swapped = 0;
  for (std::size_t i = 0; i < 400; ++i) {
    const bool same = std::ranges::equal(after.chosen.row(i), before.chosen.row(i));
    swapped += same ? 0 : 1;
    EXPECT_TRUE(std::ranges::equal(after.chosen.row(i), same ? before.chosen.row(i) : before.rejected.row(i)));
    EXPECT_TRUE(std::ranges::equal(after.rejected.row(i), same ? before.rejected.row(i) : before.chosen.row(i)));
    EXPECT_TRUE(std::ranges::equal(after.token_sums_chosen.row(i), after.chosen.row(i)));
    EXPECT_TRUE(std::ranges::equal(after.token_sums_rejected.row(i), after.rejected.row(i)));
    EXPECT_EQ(after.length_chosen[i], same ? before.length_chosen[i] : before.length_rejected[i]);
    EXPECT_EQ(after.length_rejected[i], same ? before.length_rejected[i] : before.length_chosen[i]);
  }
  EXPECT_NEAR(static_cast<double>(swapped), 200, 4.5 * 10);  // a fair coin's standard deviation is 10
  EXPECT_EQ(after.prompt_id, before.prompt_id);
  EXPECT_EQ(after.metadata_value("control"), "shuffled preferences, seed 9");

  FeatureSet again = before;
  shuffle_preferences(again, 9);
  EXPECT_EQ(again.chosen.rows(), after.chosen.rows());
  EXPECT_TRUE(std::ranges::equal(again.chosen.matrix().values(), after.chosen.matrix().values()));
}

TEST(Training, ControlPermutesLabels) {
  FeatureSet set = test::labelled_set(300, 4, linear_truth, 6);
  const std::vector<std::int8_t> before = set.labels;
  shuffle_preferences(set, 1);
  EXPECT_NE(set.labels, before);
  EXPECT_EQ(std::ranges::count(set.labels, 1), std::ranges::count(before, 1));
}

}  // namespace
}  // namespace coala
