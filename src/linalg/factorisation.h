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

/// Cholesky factor of a symmetric positive definite matrix, to solve with it many times.
class Cholesky {
 public:
  /// Empty when the matrix is not positive definite in double precision.
  static std::optional<Cholesky> factor(Matrix<double> a);
  void solve(std::span<double> b) const;  ///< b := A^{-1} b

 private:
  explicit Cholesky(Matrix<double> factor) : factor_(std::move(factor)) {}
  Matrix<double> factor_;
};

}  // namespace coala
