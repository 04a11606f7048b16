#pragma once

#include <cstddef>
#include <vector>

#include "features/feature_set.h"

namespace coala {

/// The rows of a set at the given places.
FeatureSet subset(const FeatureSet& set, const std::vector<std::size_t>& rows);

/// Whether a row is of whole responses, not of their beginnings.
bool is_whole(const FeatureSet& set, std::size_t row);

/// The rows of whole responses: what a head is judged on.
FeatureSet whole_rows(const FeatureSet& set);

}  // namespace coala
