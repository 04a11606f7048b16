#include "solver/metric.h"

#include <algorithm>

#include "linalg/blas.h"

namespace coala {
namespace {

/// Single precision knows nothing of smaller eigenvalues.
constexpr double kFloor = 1e-6;

void turn(const GatedMetric& metric, const Matrix<float>& from, bool back, Matrix<float>& to, ThreadPool& pool) {
  const std::size_t rank = metric.basis.rows() > 0 ? metric.basis.rows() : metric.leading.rank();
  if (rank == 0) {
    to = from;
    return;
  }
  constexpr std::size_t kRows = 8;  // fixed: how a product is summed may depend on its shape
  const std::size_t grain = std::max<std::size_t>(1, 32 * 1024 / (rank * metric.dimension()));
  pool.for_parts((from.rows() + kRows - 1) / kRows, grain, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t at = begin * kRows; at < std::min(end * kRows, from.rows()); at += kRows) {
      const std::size_t last = std::min(at + kRows, from.rows());
      const MatrixView<const float> in = from.view().row_range(at, last);
      const MatrixView<float> out = to.view().row_range(at, last);
      if (metric.basis.rows() > 0) {
        gemm(false, !back, 1.0f, in, metric.basis.view(), 0.0f, out);
      } else {
        metric.leading.multiply(in, back, out);
      }
    }
  });
}

}  // namespace

void GatedMetric::rotate(const Matrix<float>& from, Matrix<float>& to, ThreadPool& pool) const {
  turn(*this, from, /*back=*/false, to, pool);
}

void GatedMetric::rotate_back(const Matrix<float>& from, Matrix<float>& to, ThreadPool& pool) const {
  turn(*this, from, /*back=*/true, to, pool);
}

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
