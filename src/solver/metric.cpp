#include "solver/metric.h"

#include <algorithm>

namespace coala {
namespace {

/// Single precision knows nothing of smaller eigenvalues.
constexpr double kFloor = 1e-6;

}  // namespace

double GatedMetric::flops(std::size_t groups) const {
  const double of_row =
      basis.rows() > 0 ? 2.0 * static_cast<double>(basis.rows()) : 4.0 * static_cast<double>(leading.rank());
  return of_row * static_cast<double>(groups * dimension());
}

GatedMetric identity_metric(std::size_t dimension) {
  GatedMetric metric;
  metric.scale.assign(dimension, 1.0f);
  return metric;
}

GatedMetric gated_metric(const MomentSpectrum& moments) {
  const std::size_t d = moments.dimension();
  // Without eigenvectors something was not finite: the solver's to refuse, with a message of its own.
  if (moments.rank() == 0 || !(moments.values.front() > 0)) return identity_metric(d);
  GatedMetric metric;
  metric.largest = moments.values.front();
  for (const double value : moments.values) {
    metric.scale.push_back(static_cast<float>(std::max(value / metric.largest, kFloor)));
  }
  if (moments.whole()) {
    metric.basis = moments.vectors;
    return metric;
  }
  metric.leading = BlockReflector(moments.vectors);
  metric.scale.resize(d, metric.scale.back());  // no direction beyond has more
  return metric;
}

}  // namespace coala
