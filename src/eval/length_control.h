#pragma once

#include <cstdint>
#include <span>

#include "core/estimate.h"

namespace coala {

struct LengthControlled {
  double accuracy = 0;  ///< predicted at equal lengths
  Interval ci95;        ///< by the logit's; variance of the jackknife over prompts, none of one prompt
  double slope = 0;     ///< of the logit of being right; positive: right where the longer answer is preferred
  Interval slope_ci95;  ///< variance of the jackknife over prompts
};

/// How often a scorer would be right on pairs of equal length: a logistic model of being right on the length
/// difference, at zero (docs/math.md, "Length control").
/// @param right   [n], 1 for a row that is right, 0 for one that is not
/// @param x       [n], length differences (features/length_difference.h)
LengthControlled length_controlled_accuracy(std::span<const double> right, std::span<const double> x,
                                            std::span<const std::int64_t> prompts);

}  // namespace coala
