#include "solver/metric.h"

#include <algorithm>
#include <cmath>

#include "linalg/blas.h"
#include "linalg/factorisation.h"
#include "solver/linear.h"

namespace coala {
namespace {

/// Above it the eigenvectors (about 10 d^3 operations) cost more than they save.
constexpr std::size_t kMostDimensions = 2048;

/// Single precision knows nothing of smaller eigenvalues.
constexpr double kFloor = 1e-6;

void multiply(const Matrix<float>& from, bool transposed, const Matrix<float>& basis, Matrix<float>& to,
              ThreadPool& pool) {
  if (basis.rows() == 0) {
    to = from;
    return;
  }
  constexpr std::size_t kRows = 8;  // fixed: how a product is summed may depend on its shape
  const std::size_t grain = std::max<std::size_t>(1, 32 * 1024 / (basis.rows() * basis.rows()));
  pool.for_parts((from.rows() + kRows - 1) / kRows, grain, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t at = begin * kRows; at < std::min(end * kRows, from.rows()); at += kRows) {
      const std::size_t to_row = std::min(at + kRows, from.rows());
      gemm(false, transposed, 1.0f, from.view().row_range(at, to_row), basis.view(), 0.0f,
           to.view().row_range(at, to_row));
    }
  });
}

}  // namespace

void GatedMetric::rotate(const Matrix<float>& from, Matrix<float>& to, ThreadPool& pool) const {
  multiply(from, /*transposed=*/true, basis, to, pool);
}

void GatedMetric::rotate_back(const Matrix<float>& from, Matrix<float>& to, ThreadPool& pool) const {
  multiply(from, /*transposed=*/false, basis, to, pool);
}

GatedMetric identity_metric(std::size_t dimension) {
  GatedMetric metric;
  metric.scale.assign(dimension, 1.0f);
  return metric;
}

GatedMetric gated_metric(const DesignRows<float>& rows, std::span<const float> weights, const Matrix<double>& gram,
                         ThreadPool& pool) {
  const std::size_t d = rows.dimension();
  if (d > kMostDimensions) return identity_metric(d);
  Matrix<double> moments = gram;
  if (rows.pairwise()) {
    // A gate is open for both responses of a pair, which leaves their difference, or for one, which leaves that one:
    // about half of the time each.
    DesignRows<float> sides{{}, rows.transform};
    std::vector<float> side_weights;
    for (const auto& segment : rows.segments) {
      for (const auto& side : {segment.plus, segment.minus}) sides.segments.push_back({side, {}});
      const std::size_t first = side_weights.size() / 2;
      for (int side = 0; side < 2; ++side) {
        const auto own = weights.subspan(first, segment.plus.rows());
        side_weights.insert(side_weights.end(), own.begin(), own.end());
      }
    }
    const Matrix<double> single = weighted_gram(sides, side_weights, pool);
    for (std::size_t k = 0; k < d * d; ++k) moments.values()[k] += 0.5 * single.values()[k];
  }
  // What is not finite or zero is the solver's to refuse, with a message of its own.
  if (!std::ranges::all_of(moments.values(), [](double value) { return std::isfinite(value); })) {
    return identity_metric(d);
  }
  SymmetricEigen eigen = symmetric_eigen(std::move(moments));
  const double largest = *std::ranges::max_element(eigen.values);
  if (!(largest > 0)) return identity_metric(d);
  GatedMetric metric;
  metric.largest = largest;
  metric.basis = Matrix<float>(d, d);
  std::ranges::transform(eigen.vectors.values(), metric.basis.values().begin(),
                         [](double value) { return static_cast<float>(value); });
  for (const double value : eigen.values) {
    metric.scale.push_back(static_cast<float>(std::max(value / largest, kFloor)));
  }
  return metric;
}

}  // namespace coala
