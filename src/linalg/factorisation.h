#pragma once

#include <optional>
#include <vector>

#include "core/matrix.h"

namespace coala {

/// A = V diag(values) V' of a symmetric matrix; values ascending, eigenvectors in the *rows* of `vectors`.
struct SymmetricEigen {
  std::vector<double> values;
  Matrix<double> vectors;
};

/// @throws Error{BadInput} when the matrix holds NaN or infinity, or the iteration does not converge
SymmetricEigen symmetric_eigen(Matrix<double> a);
/// Seconds that it takes with n rows, roughly: as on the machine of docs/benchmarks.md. It cannot be interrupted.
double symmetric_eigen_s(std::size_t n);

/// Cholesky factor of a symmetric positive definite matrix, to solve with it many times.
class Cholesky {
 public:
  /// Empty when the matrix is not positive definite in double precision.
  static std::optional<Cholesky> factor(Matrix<double> a);
  void solve(std::span<double> b) const;  ///< b := A^{-1} b
  Matrix<double> inverse() const;         ///< A^{-1}

 private:
  explicit Cholesky(Matrix<double> factor) : factor_(std::move(factor)) {}
  Matrix<double> factor_;
};

/// Replaces the rows [r, d], r <= d, by an orthonormal basis of their span, by Householder reflections: also of rows
/// that depend on each other, when it spans more.
void orthonormalise_rows(Matrix<float>& rows);

/// An orthogonal matrix Q [d, d] whose first r columns are given orthonormal vectors, up to their signs, as a product
/// of r Householder reflections in compact form, Q = I - V' T V (Schreiber & Van Loan 1989): a product with it costs 4
/// d r operations, not 2 d^2.
class BlockReflector {
 public:
  BlockReflector() = default;
  /// @param vectors  [r, d] orthonormal rows, r <= d
  explicit BlockReflector(Matrix<float> vectors);

  std::size_t rank() const { return v_.rows(); }
  const Matrix<float>& vectors() const { return v_; }   ///< V [r, d]
  const Matrix<float>& triangle() const { return t_; }  ///< T' [r, r]: LAPACK's columns are our rows

 private:
  Matrix<float> v_;  ///< [r, d]
  Matrix<float> t_;  ///< [r, r]
};

}  // namespace coala
