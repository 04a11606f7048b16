#include "solver/loss_function.h"

#include <cmath>

namespace coala {

LossSums LossFunction::sums(const TargetRows& rows, const float* z, double bias, float* derivatives) const noexcept {
  LossSums sums;
  for (std::size_t i = 0; i < rows.count; ++i) {
    const Target target = rows[i];
    const double prediction = static_cast<double>(z[i]) + bias;
    const double slope = derivative(target, prediction);
    sums.loss += value(target, prediction);
    sums.slope += slope;
    sums.absolute_slope += std::abs(slope);
    sums.curvature += curvature(target, prediction);
    if (derivatives != nullptr) derivatives[i] = static_cast<float>(slope);
  }
  return sums;
}

}  // namespace coala
