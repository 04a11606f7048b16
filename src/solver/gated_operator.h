#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/aligned.h"
#include "core/matrix.h"
#include "core/parallel.h"
#include "linalg/gated_kernels.h"
#include "solver/design_rows.h"

namespace coala {

/// F = [D_1 X .. D_P X] as an operator: (F w)_i = sum_p D_ip x_i' w_p, for pairs minus the same of x'_i. The weights
/// are W [P, d]. Every call is one pass over X in row blocks that stay in cache between the product and its adjoint, by
/// the kernels of linalg/gated_kernels.h, whose work hardly depends on P. The features are read as they are stored:
/// their transform goes into the weights, and comes out of the gradient. Results are the same bits whatever the number
/// of threads.
template <class T>
class GatedOperator {
 public:
  /// @param rows   features; must outlive the operator
  /// @param gates  [P, d]; the pattern is computed here
  GatedOperator(DesignRows<T> rows, MatrixView<const T> gates, ThreadPool& pool);
  /// With a given pattern D [n, P] of pointwise rows in one segment.
  GatedOperator(DesignRows<T> rows, const Matrix<std::uint8_t>& pattern, ThreadPool& pool);

  ThreadPool& pool() const { return *pool_; }
  /// The rows are cut into this many chunks, which depends on their number alone. Sums are of a chunk first, then of
  /// the chunks in order, so that results are the same bits whatever the number of threads.
  std::size_t chunks() const { return chunks_; }
  std::size_t rows() const { return row_count_; }
  std::size_t groups() const { return groups_; }
  std::size_t dimension() const { return dimension_; }
  const DesignRows<T>& design() const { return rows_; }

  /// z := F w, [n].
  void forward(MatrixView<const T> w, std::span<T> z);
  /// g := F' r, [P, d].
  void adjoint(std::span<const T> r, MatrixView<T> g);
  /// Both in one pass: g := F' r(F w). `map` turns the predictions of a block of rows, starting at `first`, into r, in
  /// place. Calls of the same chunk follow each other in order; those of different chunks may run at the same time.
  using BlockMap = std::function<void(std::size_t chunk, std::size_t first, std::span<T> z)>;
  void fused_blocks(MatrixView<const T> w, const BlockMap& map, MatrixView<T> g);
  /// The same with a map of single rows.
  void fused(MatrixView<const T> w, const std::function<T(std::size_t row, T z)>& map, MatrixView<T> g);

  /// Gives back the memory of the gradient's sums, a table for each chunk, until a pass needs them again.
  void release_tables();

  /// Passes over X so far, and the bytes of X that one pass reads.
  std::uint64_t passes() const { return passes_; }
  std::uint64_t bytes_per_pass() const;
  /// Floating-point operations so far.
  double flops() const { return flops_; }
  /// Counts operations that solvers spend beside the passes.
  void add_flops(double flops) { flops_ += flops; }

 private:
  void set_patterns(const std::vector<Matrix<std::uint8_t>>& plus, const std::vector<Matrix<std::uint8_t>>& minus);
  /// Tables of the sums of the groups' weights, for features as they are stored.
  void fill_tables(MatrixView<const T> w);
  void fill_shifts(MatrixView<const T> w);
  bool shifted() const { return rows_.transform != nullptr; }
  /// The groups' gradients from the entries that rows were added to.
  void collect(MatrixView<T> g);
  void run(MatrixView<const T> w, const BlockMap* map, std::span<T> z_out, std::span<const T> r_in, MatrixView<T> g);

  DesignRows<T> rows_;
  std::size_t row_count_;
  std::size_t groups_;
  std::size_t dimension_;
  std::size_t chunks_;
  ThreadPool* pool_;

  TableLayout layout_;
  std::vector<std::size_t> table_groups_;  ///< the groups in the order in which they fill the tables
  std::vector<std::size_t> open_groups_;   ///< groups open in every row: they need no table of their own
  // A row's entry in each table, [n_s][tables] per segment; none for the missing half of pointwise rows.
  std::vector<std::vector<std::uint8_t>> plus_codes_;
  std::vector<std::vector<std::uint8_t>> minus_codes_;

  AlignedVector<T> weight_tables_;
  std::vector<AlignedVector<T>> gradient_tables_;  ///< of each chunk
  // What the mean of the features does, for every entry of every table: w'(f - mean) = w'f + shift, and the sums of the
  // r_i, by which the gradient has the mean too often.
  std::vector<T> shifts_;
  std::vector<std::vector<T>> residual_sums_;  ///< of each chunk
  std::uint64_t passes_ = 0;
  double flops_ = 0;
};

}  // namespace coala
