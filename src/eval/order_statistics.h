#pragma once

#include <span>

namespace coala {

struct MeanWithError {
  double mean = 0;
  double standard_error = 0;  ///< sd (n - 1) over the root of n; NaN for one value, which says nothing of it
};
MeanWithError mean_with_error(std::span<const double> values);

/// Between the two values nearest to place q (n - 1), as numpy's percentile has it by default.
/// @param values  not empty
double quantile(std::span<const double> values, double q);

}  // namespace coala
