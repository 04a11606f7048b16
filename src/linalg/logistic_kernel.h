#pragma once

#include <cstddef>

#include "linalg/loss_sums.h"

namespace coala {

/// Sums over rows of the weighted logistic loss log(1 + exp(u_i)), u_i = margin_i - y_i (z_i + bias): with q =
/// sigmoid(u), the slope is the sum of -weight y q, the curvature that of weight q (1 - q).
///
/// One pass over n rows in double, with the exponential and the logarithm as polynomials that fill whole registers;
/// both are right to a few units in the last place.
/// @param margins  [n] or null for 0
/// @param derivatives  [n], receives -weight y q, or null
using LogisticKernel = LossSums (*)(const float* z, const float* labels, const float* weights, const float* margins,
                                    std::size_t n, double bias, float* derivatives);

/// The kernel for this CPU, chosen like the gated kernels.
LogisticKernel logistic_kernel();

}  // namespace coala
