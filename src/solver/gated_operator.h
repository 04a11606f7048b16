#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/matrix.h"
#include "core/parallel.h"
#include "solver/design_rows.h"

namespace coala {

/// F = [D_1 X .. D_P X] as an operator: (F w)_i = sum_p D_ip x_i' w_p, for pairs minus the same of x'_i. The weights
/// are W [P, d]. Every call is one pass over X in row blocks that stay in cache between the product and its adjoint;
/// the parts of the rows depend on the number of threads only, so results repeat bit for bit.
template <class T>
class GatedOperator {
 public:
  /// @param rows   features; must outlive the operator
  /// @param gates  [P, d]; the pattern is computed here
  GatedOperator(DesignRows<T> rows, MatrixView<const T> gates, ThreadPool& pool);
  /// With a given pattern D [n, P] of pointwise rows in one segment.
  GatedOperator(DesignRows<T> rows, const Matrix<std::uint8_t>& pattern, ThreadPool& pool);

  std::size_t rows() const { return row_count_; }
  std::size_t groups() const { return groups_; }
  std::size_t dimension() const { return dimension_; }
  const DesignRows<T>& design() const { return rows_; }

  /// z := F w, [n]. Groups with an empty `active` flag are taken as zero; no flags: all count.
  void forward(MatrixView<const T> w, std::span<T> z, std::span<const std::uint8_t> active = {});
  /// g := F' r, [P, d].
  void adjoint(std::span<const T> r, MatrixView<T> g);
  /// Both in one pass: g := F' r(F w), with r computed row by row from z by `map(row, z)`.
  void fused(MatrixView<const T> w, const std::function<T(std::size_t row, T z)>& map, MatrixView<T> g,
             std::span<const std::uint8_t> active = {});

  /// Passes over X so far, and the bytes of X that one pass reads.
  std::uint64_t passes() const { return passes_; }
  std::uint64_t bytes_per_pass() const;
  /// Floating-point operations so far.
  double flops() const { return flops_; }

 private:
  void run(MatrixView<const T> w, std::span<const std::uint8_t> active, const std::function<T(std::size_t, T)>* map,
           std::span<T> z_out, std::span<const T> r_in, MatrixView<T> g);

  DesignRows<T> rows_;
  /// Which gates are open, one bit each: [n_s][chunks] words per segment; none for the missing half of pointwise rows.
  std::vector<std::vector<std::uint16_t>> plus_patterns_;
  std::vector<std::vector<std::uint16_t>> minus_patterns_;
  std::size_t row_count_;
  std::size_t groups_;
  std::size_t dimension_;
  ThreadPool* pool_;
  std::uint64_t passes_ = 0;
  double flops_ = 0;
};

}  // namespace coala
