#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "core/aligned.h"

namespace coala {

/// A row-major matrix that somebody else owns. `stride` is the distance between rows, in elements.
template <class T>
struct MatrixView {
  T* data = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t stride = 0;

  MatrixView() = default;
  MatrixView(T* values, std::size_t row_count, std::size_t col_count)
      : data(values), rows(row_count), cols(col_count), stride(col_count) {}
  MatrixView(T* values, std::size_t row_count, std::size_t col_count, std::size_t row_stride)
      : data(values), rows(row_count), cols(col_count), stride(row_stride) {}

  T& operator()(std::size_t i, std::size_t j) const { return data[i * stride + j]; }
  std::span<T> row(std::size_t i) const { return {data + i * stride, cols}; }
  MatrixView row_range(std::size_t begin, std::size_t end) const {
    return {data + begin * stride, end - begin, cols, stride};
  }
  operator MatrixView<const T>() const { return {data, rows, cols, stride}; }
};

/// A row-major matrix that owns its numbers; zero at first.
template <class T>
class Matrix {
 public:
  Matrix() = default;
  Matrix(std::size_t rows, std::size_t cols) : rows_(rows), cols_(cols), values_(rows * cols) {}
  /// Takes over rows * cols numbers, row by row.
  Matrix(std::size_t rows, std::size_t cols, AlignedVector<T> values)
      : rows_(rows), cols_(cols), values_(std::move(values)) {}

  std::size_t rows() const { return rows_; }
  std::size_t cols() const { return cols_; }
  T* data() { return values_.data(); }
  const T* data() const { return values_.data(); }
  T& operator()(std::size_t i, std::size_t j) { return values_[i * cols_ + j]; }
  const T& operator()(std::size_t i, std::size_t j) const { return values_[i * cols_ + j]; }
  std::span<T> row(std::size_t i) { return {values_.data() + i * cols_, cols_}; }
  std::span<const T> row(std::size_t i) const { return {values_.data() + i * cols_, cols_}; }
  std::span<T> values() { return values_; }
  std::span<const T> values() const { return values_; }
  MatrixView<T> view() { return {values_.data(), rows_, cols_}; }
  MatrixView<const T> view() const { return {values_.data(), rows_, cols_}; }

 private:
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  AlignedVector<T> values_;
};

}  // namespace coala
