#pragma once

#include "train/training_run.h"

namespace coala {

/// A training run and as many more as make `count` in all, with the seeds that follow: what is drawn by the seed
/// (gates, folds, and the held-out share when the plan has one) is drawn anew each time. Head, rows and metrics are
/// those of the first; its metrics get an object "seeds" with every run's accuracies, their means and standard
/// deviations. Costs `count` times as much, less the token head, which only the first run fits.
TrainingRun train_over_seeds(const FeatureSet& train, const EvaluationPlan& plan, const FitSettings& settings,
                             int count, ThreadPool& pool, Backend* backend = nullptr);

}  // namespace coala
