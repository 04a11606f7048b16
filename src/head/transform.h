#pragma once

#include "features/feature_set.h"
#include "solver/feature_transform.h"

namespace coala {

/// Standardises to mean 0 and standard deviation 1 over all rows of the set. Constant and nearly constant columns
/// (standard deviation below a thousandth of the median one) are switched off: scaled up they would be noise.
/// @throws Error{BadInput} when a column varies by less than single precision can scale up
FeatureTransform standardising_transform(const FeatureSet& set);

}  // namespace coala
