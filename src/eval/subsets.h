#pragma once

#include <optional>
#include <vector>

#include "eval/evaluation_metrics.h"
#include "features/feature_set.h"

namespace coala {

/// Accuracy on parts of the rows, each with its interval: by the subsets that the data name, by RewardBench's
/// sections (eval/reward_bench.h), by the ratio of the lengths of chosen and rejected, and by terciles of the stated
/// margin. What the data do not have is absent, and all of it where they have nothing.
/// @param right  [n], 1 for a row that is right, 0 for one that is not
std::optional<SubsetMetrics> accuracy_by_subset(const FeatureSet& set, const std::vector<double>& right);

}  // namespace coala
