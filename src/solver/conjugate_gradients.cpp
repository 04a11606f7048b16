#include "solver/conjugate_gradients.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "linalg/blas.h"

namespace coala {

PcgResult conjugate_gradients(const LinearMap& apply, const LinearMap& precondition, std::span<const double> rhs,
                              std::span<double> x, const PcgSettings& settings) {
  const std::size_t size = rhs.size();
  std::vector<double> residual(size), direction(size), z(size), product(size);
  const auto product_of = [](const std::vector<double>& a, const std::vector<double>& b) {
    return dot(std::span<const double>(a), b);
  };
  apply(x, product);
  for (std::size_t k = 0; k < size; ++k) residual[k] = rhs[k] - product[k];
  const double wanted = std::max(settings.absolute_tolerance, settings.relative_tolerance * std::sqrt(dot(rhs, rhs)));
  PcgResult result;
  double rz = 0;
  while (true) {
    result.residual = std::sqrt(product_of(residual, residual));
    if (!std::isfinite(result.residual)) {
      result.status = PcgStatus::Breakdown;
      return result;
    }
    if (result.residual <= wanted) return result;
    if (result.iterations >= settings.max_iterations) {
      result.status = PcgStatus::IterationLimit;
      return result;
    }
    precondition(residual, z);
    const double next = product_of(residual, z);
    if (!(next > 0) || !std::isfinite(next)) {
      result.status = PcgStatus::Breakdown;
      return result;
    }
    const double momentum = rz > 0 ? next / rz : 0.0;
    for (std::size_t k = 0; k < size; ++k) direction[k] = z[k] + momentum * direction[k];
    rz = next;
    apply(direction, product);
    const double curvature = product_of(direction, product);
    const double step = rz / curvature;
    if (!(curvature > 0) || !std::isfinite(step)) {
      result.status = PcgStatus::Breakdown;
      return result;
    }
    for (std::size_t k = 0; k < size; ++k) {
      x[k] += step * direction[k];
      residual[k] -= step * product[k];
    }
    ++result.iterations;
  }
}

}  // namespace coala
