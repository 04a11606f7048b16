#include "core/stored_rows.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "core/half.h"
#include "core/vectorise.h"

namespace coala {
namespace {

std::vector<const std::byte*> evenly_spaced(const std::byte* data, std::size_t rows, std::size_t stride) {
  std::vector<const std::byte*> pointers(rows);
  for (std::size_t i = 0; i < rows; ++i) pointers[i] = data + i * stride;
  return pointers;
}

template <class T>
constexpr Dtype dtype_of() {
  return std::is_same_v<T, float> ? Dtype::F32 : Dtype::F64;
}

COALA_WIDEST_LANES void widen_f16(const std::uint16_t* from, std::size_t count, float* to) {
  for (std::size_t j = 0; j < count; ++j) to[j] = f16_to_f32(from[j]);
}

COALA_WIDEST_LANES void widen_bf16(const std::uint16_t* from, std::size_t count, float* to) {
  for (std::size_t j = 0; j < count; ++j) to[j] = bf16_to_f32(from[j]);
}

}  // namespace

StoredRows::StoredRows(Dtype dtype, std::size_t rows, std::size_t cols, const std::byte* data,
                       std::shared_ptr<const void> owner)
    : dtype_(dtype),
      cols_(cols),
      stride_(cols * dtype_bytes(dtype)),
      pointers_(std::make_shared<const Pointers>(evenly_spaced(data, rows, stride_))) {
  assert(dtype == Dtype::F32 || dtype == Dtype::F16 || dtype == Dtype::BF16 || dtype == Dtype::F64);
  owners_.push_back(std::move(owner));
}

StoredRows::StoredRows(MatrixView<const float> rows)
    : cols_(rows.cols),
      stride_(rows.stride * sizeof(float)),
      pointers_(std::make_shared<const Pointers>(
          evenly_spaced(reinterpret_cast<const std::byte*>(rows.data), rows.rows, stride_))) {}

StoredRows::StoredRows(MatrixView<const double> rows)
    : dtype_(Dtype::F64),
      cols_(rows.cols),
      stride_(rows.stride * sizeof(double)),
      pointers_(std::make_shared<const Pointers>(
          evenly_spaced(reinterpret_cast<const std::byte*>(rows.data), rows.rows, stride_))) {}

StoredRows::StoredRows(Matrix<float> rows) {
  const auto owned = std::make_shared<const Matrix<float>>(std::move(rows));
  *this = StoredRows(owned->view());
  owners_.push_back(owned);
}

StoredRows::StoredRows(Matrix<double> rows) {
  const auto owned = std::make_shared<const Matrix<double>>(std::move(rows));
  *this = StoredRows(owned->view());
  owners_.push_back(owned);
}

template <class T>
void StoredRows::convert(std::size_t i, std::size_t first, std::span<T> to) const {
  const std::byte* const row = (*pointers_)[i];
  switch (dtype_) {
    case Dtype::F32:
      std::copy_n(reinterpret_cast<const float*>(row) + first, to.size(), to.begin());
      break;
    case Dtype::F16: {
      const auto* const from = reinterpret_cast<const std::uint16_t*>(row) + first;
      for (std::size_t j = 0; j < to.size(); ++j) to[j] = static_cast<T>(f16_to_f32(from[j]));
      break;
    }
    case Dtype::BF16: {
      const auto* const from = reinterpret_cast<const std::uint16_t*>(row) + first;
      for (std::size_t j = 0; j < to.size(); ++j) to[j] = static_cast<T>(bf16_to_f32(from[j]));
      break;
    }
    default: {
      const auto* const from = reinterpret_cast<const double*>(row) + first;
      for (std::size_t j = 0; j < to.size(); ++j) to[j] = static_cast<T>(from[j]);
    }
  }
}

void StoredRows::read(std::size_t i, std::size_t first, std::span<float> to) const {
  const auto* const words = reinterpret_cast<const std::uint16_t*>((*pointers_)[i]) + first;
  if (dtype_ == Dtype::F16) {
    widen_f16(words, to.size(), to.data());
  } else if (dtype_ == Dtype::BF16) {
    widen_bf16(words, to.size(), to.data());
  } else {
    convert(i, first, to);
  }
}

void StoredRows::read(std::size_t i, std::size_t first, std::span<double> to) const {
  convert(i, first, to);
}

std::vector<float> StoredRows::row(std::size_t i) const {
  std::vector<float> values(cols_);
  read(i, 0, values);
  return values;
}

float StoredRows::operator()(std::size_t i, std::size_t j) const {
  float value = 0;
  read(i, j, std::span<float>(&value, 1));
  return value;
}

Matrix<float> StoredRows::matrix() const {
  Matrix<float> all(rows(), cols_);
  for (std::size_t i = 0; i < rows(); ++i) read(i, 0, all.row(i));
  return all;
}

template <class T>
std::optional<MatrixView<const T>> StoredRows::dense(std::size_t begin, std::size_t end) const {
  if (dtype_ != dtype_of<T>() || stride_ == 0) return std::nullopt;
  if (begin == end) return MatrixView<const T>(nullptr, 0, cols_);
  return MatrixView<const T>(reinterpret_cast<const T*>((*pointers_)[begin]), end - begin, cols_, stride_ / sizeof(T));
}

template std::optional<MatrixView<const float>> StoredRows::dense(std::size_t, std::size_t) const;
template std::optional<MatrixView<const double>> StoredRows::dense(std::size_t, std::size_t) const;

StoredRows StoredRows::columns(std::size_t first, std::size_t count) const {
  assert(first + count <= cols_);
  StoredRows part = *this;
  part.cols_ = count;
  Pointers moved(pointers_ ? *pointers_ : Pointers());
  for (const std::byte*& pointer : moved) pointer += first * dtype_bytes(dtype_);
  part.pointers_ = std::make_shared<const Pointers>(std::move(moved));
  return part;
}

StoredRows StoredRows::subset(std::span<const std::size_t> rows) const {
  if (!pointers_) return {};
  StoredRows result = *this;
  Pointers pointers(rows.size());
  for (std::size_t k = 0; k < rows.size(); ++k) pointers[k] = (*pointers_)[rows[k]];
  result.pointers_ = std::make_shared<const Pointers>(std::move(pointers));
  result.stride_ = 0;
  return result;
}

StoredRows StoredRows::joined_with(const StoredRows& other) const {
  if (rows() == 0) return other;
  if (other.rows() == 0) return *this;
  assert(other.dtype_ == dtype_ && other.cols_ == cols_);
  StoredRows result = *this;
  Pointers pointers = *pointers_;
  pointers.insert(pointers.end(), other.pointers_->begin(), other.pointers_->end());
  result.pointers_ = std::make_shared<const Pointers>(std::move(pointers));
  result.stride_ = 0;
  result.owners_.insert(result.owners_.end(), other.owners_.begin(), other.owners_.end());
  return result;
}

}  // namespace coala
