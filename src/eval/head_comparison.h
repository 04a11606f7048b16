#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "eval/metrics.h"
#include "features/feature_set.h"

namespace coala {

/// Two heads on the same rows: both accuracies, how many rows only one gets right, the difference with its interval,
/// the exact paired test, and the rows they disagree on most (in units of each head's own spread of margins).
/// @param set  of the first head; the second may have other features of the same rows
/// @param ids  of the rows, [n]; empty: they are named by their numbers, counted from 0
nlohmann::ordered_json compare_heads(const FeatureSet& set, const Scores& first, const Scores& second,
                                     const std::vector<std::string>& ids, std::uint64_t seed);

/// The comparison for a person.
std::string comparison_summary(const nlohmann::ordered_json& comparison);

}  // namespace coala
