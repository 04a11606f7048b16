#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/aligned.h"
#include "core/matrix.h"
#include "core/parallel.h"
#include "linalg/backend.h"
#include "linalg/gated_kernels.h"

namespace coala {

/// Rows for passes on the CPU, by the kernels of linalg/gated_kernels.h, whose work hardly depends on P: in row blocks
/// that stay in cache between the product and its adjoint. The features are read as they are stored: their transform
/// goes into the weights, and comes out of the gradient. Results are the same bits whatever the number of threads.
template <class T>
class HostRows : public PassRows {
 public:
  HostRows(GatedData data, ThreadPool& pool);

  /// The rows are cut into this many chunks, which depends on their number alone. Sums are of a chunk first, then of
  /// the chunks in order.
  std::size_t chunks() const { return chunks_; }

  /// Turns the predictions of a block of rows, starting at `first`, into r, in place. Calls of the same chunk follow
  /// each other in order; those of different chunks may run at the same time.
  using BlockMap = std::function<void(std::size_t chunk, std::size_t first, std::span<T> z)>;

  /// One pass: what is not empty is computed, or given.
  /// @param w      [P, d]: the predictions F w
  /// @param map    of them, before the adjoint
  /// @param z_out  [n], receives the predictions
  /// @param r_in   [n], instead of the mapped predictions
  /// @param g      [P, d], receives F' r
  void run(MatrixView<const T> w, const BlockMap* map, std::span<T> z_out, std::span<const T> r_in, MatrixView<T> g);

  /// Gives back the memory of the gradient's sums, a table for each chunk, until a pass needs them again.
  void release_tables();

  /// What these rows were made of.
  GatedData data() const;

 private:
  /// Tables of the sums of the groups' weights, for features as they are stored.
  void fill_tables(MatrixView<const T> w);
  void fill_shifts(MatrixView<const T> w);
  bool shifted() const { return !data_.scale.empty(); }
  /// The groups' gradients from the entries that rows were added to.
  void collect(MatrixView<T> g);

  GatedData data_;  ///< without patterns
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
};

}  // namespace coala
