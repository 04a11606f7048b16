#pragma once

#include <optional>

#include "core/parallel.h"
#include "eval/evaluated_rows.h"
#include "features/feature_set.h"
#include "head/fit.h"
#include "head/head.h"
#include "head/token_fit.h"
#include "train/run_metrics.h"

namespace coala {

/// What a head is judged on.
struct EvaluationPlan {
  std::optional<FeatureSet> held_out;  ///< a set of its own
  int folds = 0;                       ///< otherwise cross-validation over this many folds by prompt, when >= 2
  double fraction = 0.2;               ///< otherwise this share of the prompts is held out of the training
  bool token_head = false;             ///< fit a token head as well; the features need token sums
};

struct TrainingRun {
  Head head;
  FitResult fit;            ///< of the head
  RunMetrics metrics;       ///< without what only `coala align` knows
  EvaluatedRows evaluated;  ///< the rows that the metrics are about
};

/// Trains a head and judges it on prompts that it has not seen, beside its baselines, and on whole responses whether or
/// not beginnings of them were among the rows. With cross-validation the head
/// is trained on all rows and the metrics come from one head per fold; otherwise they are the head's own.
/// @param backend  see fit_head()
TrainingRun train_and_evaluate(FeatureSet train, EvaluationPlan plan, const FitSettings& settings, ThreadPool& pool,
                               Backend* backend = nullptr);

/// The rows of a feature file that a head was trained on: all, or those whose prompts were not held out.
struct TrainedRows {
  FeatureSet set;
  std::vector<std::size_t> rows;  ///< their places in the file
};

/// @param features  the file that the head was trained on
/// @throws Error{Mismatch} when it was another one
TrainedRows rows_trained_on(const Head& head, const FeatureSet& features);

/// Says before there are features what train_over_seeds() would say after them: too few prompts to hold some out, sets
/// of two kinds, nothing to tell apart.
/// @param train  the rows with features of any numbers; plan.held_out alike
/// @throws Error{BadInput, BadUsage, Mismatch} as the training would
void check_training(const FeatureSet& train, const EvaluationPlan& plan, const FitSettings& settings, int seeds);

}  // namespace coala
