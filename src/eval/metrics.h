#pragma once

#include <cstdint>
#include <vector>

#include "eval/evaluation_metrics.h"
#include "features/feature_set.h"
#include "head/head.h"

namespace coala {

/// Scores of a feature set's rows.
struct Scores {
  std::vector<double> chosen;    ///< [n] pairs
  std::vector<double> rejected;  ///< [n] pairs
  std::vector<double> single;    ///< [n] labelled
};

/// @throws Error{BadInput} when a score is not finite, naming its row
Scores score_features(const Head& head, const FeatureSet& set);

/// What is compared with a head: the baseline's scores of the same rows. Empty vectors: there is none.
struct BaselineScores {
  Scores logistic;
};

/// What held-out rows say of a head, each figure with its 95 % interval: Wilson's for proportions (or a bootstrap by
/// prompt when prompts repeat), a bootstrap by prompt for the rest. What the data cannot give is absent.
EvaluationMetrics evaluation_metrics(const FeatureSet& set, const Scores& scores, const BaselineScores& baseline,
                                     std::uint64_t seed);

/// The same of the rows that the head was trained on, without intervals: how much better it knows them than others.
TrainedRowMetrics training_metrics(const FeatureSet& set, const Scores& scores);

}  // namespace coala
