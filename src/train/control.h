#pragma once

#include <cstdint>

#include "features/feature_set.h"

namespace coala {

/// Makes the preferences of a set meaningless and leaves everything else: each pair is swapped by a fair coin, labels
/// are permuted among the rows. What a head trained on it still achieves is not learnt from preferences. Notes it in
/// the metadata under "control".
void shuffle_preferences(FeatureSet& set, std::uint64_t seed);

}  // namespace coala
