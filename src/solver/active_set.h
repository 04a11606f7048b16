#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/matrix.h"

namespace coala {

/// The point of a polyhedron nearest to z:
///   min 1/2 ||u - z||^2   s.t.   b_i'u >= h_i,   rows b_i of length one.
/// With h = 0 it is the projection onto a cone; with z = 0 the point of least norm. A dual active-set method (Lawson &
/// Hanson's non-negative least squares on the multipliers, u = z + B'alpha), with a QR factorisation of the active rows
/// that is updated as they come and go: all of it in double. The object keeps its active set, so that a nearby problem
/// over the same rows (more may have been appended) costs few steps.
class ActiveSet {
 public:
  enum class Status { Solved, Infeasible, StepLimit };

  /// @param b  [m, d], the rows; those of earlier calls first and unchanged
  /// @param h  [m], or empty for zeros
  /// @param z  [d];  @param u  [d], receives the point; with h = 0, zero where it is shorter than 1e-8 of z
  Status solve(MatrixView<const double> b, std::span<const double> h, std::span<const double> z, std::span<double> u);
  /// Starts the next call from no active row.
  void reset();

  /// The rows with a multiplier above zero, and the multipliers.
  const std::vector<std::size_t>& rows() const { return rows_; }
  const std::vector<double>& multipliers() const { return alpha_; }
  std::size_t steps() const { return steps_; }  ///< of the last call: rows that came or went

 private:
  double orthogonalise(std::span<const double> row, std::span<double> rest, std::span<double> coefficients) const;
  bool append(std::size_t index, std::span<const double> row);
  void remove(std::size_t position);
  void solve_upper(std::span<double> t) const;
  void solve_lower(std::span<double> t) const;
  void project(std::span<const double> h, std::span<const double> z, std::span<double> u,
               std::vector<double>& alpha) const;
  void refactor(MatrixView<const double> b);

  std::size_t dimension_ = 0;
  std::vector<std::size_t> rows_;
  std::vector<double> alpha_;
  std::vector<std::vector<double>> q_;  ///< orthonormal basis of the active rows, in order
  std::vector<std::vector<double>> r_;  ///< column k: b_{rows_[k]} in that basis, k + 1 numbers
  std::size_t steps_ = 0;
};

}  // namespace coala
