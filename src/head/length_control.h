#pragma once

#include "core/parallel.h"
#include "features/feature_set.h"
#include "head/fit.h"

namespace coala {

struct LengthControlledSet {
  FeatureSet set;    ///< the same rows with other margins or weights
  double slope = 0;  ///< of the length covariate, in log odds
};

/// The training rows such that a fit to them does not learn what the length difference explains (docs/math.md, "Length
/// control"): with the covariate's share of the log odds as an offset, or with length-balanced weights.
/// @throws Error{BadUsage} when the rows, or the settings, have no place for it
LengthControlledSet length_controlled(const FeatureSet& set, const FitSettings& settings, ThreadPool& pool);

}  // namespace coala
