#include "solver/nystrom.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/random.h"
#include "linalg/blas.h"
#include "linalg/factorisation.h"

namespace coala {
namespace {

/// Orthonormalises the rows in place by Gram-Schmidt, twice ("twice is enough": Giraud et al. 2005).
void orthonormalise_rows(Matrix<double>& q) {
  for (std::size_t i = 0; i < q.rows(); ++i) {
    for (int pass = 0; pass < 2; ++pass) {
      for (std::size_t k = 0; k < i; ++k) {
        const double c = dot(std::span<const double>(q.row(k)), q.row(i));
        for (std::size_t j = 0; j < q.cols(); ++j) q(i, j) -= c * q(k, j);
      }
    }
    const double size = std::sqrt(dot(std::span<const double>(q.row(i)), q.row(i)));
    for (double& value : q.row(i)) value = size > 0 ? value / size : 0.0;
  }
}

}  // namespace

void NystromPreconditioner::apply(std::span<const double> r, std::span<double> z) const {
  const std::size_t rank = s.size();
  std::vector<double> inner(rank);
  for (std::size_t i = 0; i < u.rows(); ++i) {
    for (std::size_t k = 0; k < rank; ++k) inner[k] += u(i, k) * r[i];
  }
  // Both terms through U at once: (s_min + shift) / (s + shift) - 1.
  const double smallest = s.empty() ? 0.0 : s.back();
  for (std::size_t k = 0; k < rank; ++k) inner[k] *= (smallest + shift) / (s[k] + shift) - 1;
  for (std::size_t i = 0; i < u.rows(); ++i) {
    double sum = r[i];
    for (std::size_t k = 0; k < rank; ++k) sum += u(i, k) * inner[k];
    z[i] = sum;
  }
}

NystromPreconditioner sketch_nystrom(
    std::size_t dimension, std::size_t rank, double shift, std::uint64_t seed,
    const std::function<void(std::span<const double> in, std::span<double> out)>& multiply) {
  rank = std::min(rank, dimension);
  Random random(seed);
  Matrix<double> omega(rank, dimension);  // test vectors in rows
  for (double& value : omega.values()) value = random.normal();
  orthonormalise_rows(omega);
  Matrix<double> y(rank, dimension);
  for (std::size_t k = 0; k < rank; ++k) multiply(omega.row(k), y.row(k));

  // A stabilising shift nu, removed from the eigenvalues at the end (Tropp et al. 2017, algorithm 3).
  double size = 0;
  for (std::size_t k = 0; k < rank; ++k) size = std::max(size, dot(std::span<const double>(y.row(k)), y.row(k)));
  const double nu =
      std::sqrt(static_cast<double>(dimension)) * std::numeric_limits<double>::epsilon() * std::sqrt(size);
  for (std::size_t k = 0; k < y.values().size(); ++k) y.values()[k] += nu * omega.values()[k];

  // A ~ Y (Omega'Y)^{-1} Y'. With the core's eigenpairs, B = Y core^{-1/2}; the eigenpairs of B'B give those of B B'.
  Matrix<double> core(rank, rank);
  gemm(false, true, 1.0, omega.view(), y.view(), 0.0, core.view());
  for (std::size_t i = 0; i < rank; ++i) {
    for (std::size_t j = 0; j < i; ++j) core(i, j) = core(j, i) = (core(i, j) + core(j, i)) / 2;
  }
  const SymmetricEigen core_eigen = symmetric_eigen(std::move(core));
  Matrix<double> whitened(rank, dimension);  // core^{-1/2} Y, rows
  gemm(false, false, 1.0, core_eigen.vectors.view(), y.view(), 0.0, whitened.view());
  for (std::size_t k = 0; k < rank; ++k) {
    const double value = core_eigen.values[k];
    const double factor = value > 0 ? 1 / std::sqrt(value) : 0.0;
    for (double& entry : whitened.row(k)) entry *= factor;
  }
  Matrix<double> inner(rank, rank);
  gemm(false, true, 1.0, whitened.view(), whitened.view(), 0.0, inner.view());
  const SymmetricEigen eigen = symmetric_eigen(std::move(inner));
  Matrix<double> vectors(rank, dimension);
  gemm(false, false, 1.0, eigen.vectors.view(), whitened.view(), 0.0, vectors.view());

  NystromPreconditioner result;
  result.shift = shift;
  result.u = Matrix<double>(dimension, rank);
  for (std::size_t k = 0; k < rank; ++k) {
    const std::size_t from = rank - 1 - k;  // descending
    const double value = std::max(0.0, eigen.values[from]);
    result.s.push_back(std::max(0.0, value - nu));
    const double factor = value > 0 ? 1 / std::sqrt(value) : 0.0;
    for (std::size_t i = 0; i < dimension; ++i) result.u(i, k) = vectors(from, i) * factor;
  }
  return result;
}

}  // namespace coala
