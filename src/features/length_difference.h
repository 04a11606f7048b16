#pragma once

#include <vector>

#include "features/feature_set.h"

namespace coala {

/// Length differences of pairs, chosen minus rejected, as length control sees them: tanh(l / rms(l)), in (-1, 1), so
/// that a few huge ones do not decide (AlpacaEval 2 does the same). Zeros when the lengths are all equal.
/// @param set  pairs with lengths
std::vector<double> bounded_length_difference(const FeatureSet& set);

}  // namespace coala
