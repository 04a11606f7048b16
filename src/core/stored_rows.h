#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/dtype.h"
#include "core/matrix.h"

namespace coala {

/// Rows of numbers where they are stored, in memory or in a mapped file, in the type in which they are stored: F32,
/// F16, BF16 or F64. Copies, subsets and joins share the numbers; only what is read is converted, row by row.
class StoredRows {
 public:
  StoredRows() = default;
  /// Takes the numbers over.
  StoredRows(Matrix<float> rows);
  StoredRows(Matrix<double> rows);
  /// Somebody else's numbers, which outlive this.
  StoredRows(MatrixView<const float> rows);
  StoredRows(MatrixView<const double> rows);
  /// Row-major numbers at `data`, aligned for their type; `owner` keeps them there.
  StoredRows(Dtype dtype, std::size_t rows, std::size_t cols, const std::byte* data, std::shared_ptr<const void> owner);

  std::size_t rows() const { return pointers_ ? pointers_->size() : 0; }
  std::size_t cols() const { return cols_; }
  Dtype dtype() const { return dtype_; }
  std::size_t bytes() const { return rows() * cols_ * dtype_bytes(dtype_); }

  /// Where the rows start, [rows].
  const std::byte* const* pointers() const { return pointers_->data(); }

  /// Columns [first, first + to.size()) of row i.
  void read(std::size_t i, std::size_t first, std::span<float> to) const;
  void read(std::size_t i, std::size_t first, std::span<double> to) const;
  std::vector<float> row(std::size_t i) const;
  float operator()(std::size_t i, std::size_t j) const;
  /// All of it, converted.
  Matrix<float> matrix() const;
  /// The numbers themselves where they are of type T and evenly spaced; nothing else can be had without a copy.
  template <class T>
  std::optional<MatrixView<const T>> dense(std::size_t begin, std::size_t end) const;

  /// Columns [first, first + count) of all rows.
  StoredRows columns(std::size_t first, std::size_t count) const;
  StoredRows subset(std::span<const std::size_t> rows) const;
  /// These rows, then those of `other`, of the same type and width.
  StoredRows joined_with(const StoredRows& other) const;

 private:
  using Pointers = std::vector<const std::byte*>;

  template <class T>
  void convert(std::size_t i, std::size_t first, std::span<T> to) const;

  Dtype dtype_ = Dtype::F32;
  std::size_t cols_ = 0;
  std::size_t stride_ = 0;  ///< bytes between rows; 0: not evenly spaced
  std::shared_ptr<const Pointers> pointers_;
  std::vector<std::shared_ptr<const void>> owners_;
};

}  // namespace coala
