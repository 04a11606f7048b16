#include "linalg/blas.h"

#include <cblas.h>

#include <algorithm>
#include <cassert>
#include <cmath>

#include "core/vectorise.h"

namespace coala {
namespace {

/// OpenBLAS must not start threads of its own beneath our row-block loops. Runs before the first call into it.
const bool kOneThread = [] {
  openblas_set_num_threads(1);
  return true;
}();

struct Shape {
  int m, n, k;
};

template <class T>
Shape shape_of(bool transpose_a, bool transpose_b, MatrixView<const T> a, MatrixView<const T> b, MatrixView<T> c) {
  const std::size_t m = transpose_a ? a.cols : a.rows;
  const std::size_t k = transpose_a ? a.rows : a.cols;
  const std::size_t n = transpose_b ? b.rows : b.cols;
  assert((transpose_b ? b.cols : b.rows) == k && c.rows == m && c.cols == n);
  (void)c;
  return {static_cast<int>(m), static_cast<int>(n), static_cast<int>(k)};
}

CBLAS_TRANSPOSE flag(bool transpose) {
  return transpose ? CblasTrans : CblasNoTrans;
}
int stride(std::size_t value) {
  return static_cast<int>(value == 0 ? 1 : value);
}

/// In one order whatever the registers. A product of two floats is exact in double, so fused additions change nothing.
COALA_WIDEST_LANES double dot_of_floats(const float* x, const float* y, std::size_t n) {
  constexpr std::size_t kLanes = 16;
  double lane[kLanes] = {};
  const std::size_t whole = n - n % kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) {
      lane[j] += static_cast<double>(x[i + j]) * static_cast<double>(y[i + j]);
    }
  }
  for (std::size_t i = whole; i < n; ++i) lane[i - whole] += static_cast<double>(x[i]) * static_cast<double>(y[i]);
  for (std::size_t width = kLanes / 2; width > 0; width /= 2) {
    for (std::size_t j = 0; j < width; ++j) lane[j] += lane[j + width];
  }
  return lane[0];
}

/// In one order, as above.
COALA_WIDEST_LANES double dot_with_doubles(const float* x, const double* y, std::size_t n) {
  constexpr std::size_t kLanes = 16;
  double lane[kLanes] = {};
  const std::size_t whole = n - n % kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) lane[j] += static_cast<double>(x[i + j]) * y[i + j];
  }
  for (std::size_t i = whole; i < n; ++i) lane[i - whole] += static_cast<double>(x[i]) * y[i];
  for (std::size_t width = kLanes / 2; width > 0; width /= 2) {
    for (std::size_t j = 0; j < width; ++j) lane[j] += lane[j + width];
  }
  return lane[0];
}

/// y += factor x
COALA_WIDEST_LANES void add_floats(double factor, const float* x, double* y, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) y[i] += factor * static_cast<double>(x[i]);
}

}  // namespace

void gemm(bool transpose_a, bool transpose_b, float alpha, MatrixView<const float> a, MatrixView<const float> b,
          float beta, MatrixView<float> c) {
  const auto [m, n, k] = shape_of(transpose_a, transpose_b, a, b, c);
  cblas_sgemm(CblasRowMajor, flag(transpose_a), flag(transpose_b), m, n, k, alpha, a.data, stride(a.stride), b.data,
              stride(b.stride), beta, c.data, stride(c.stride));
}

void gemm(bool transpose_a, bool transpose_b, double alpha, MatrixView<const double> a, MatrixView<const double> b,
          double beta, MatrixView<double> c) {
  const auto [m, n, k] = shape_of(transpose_a, transpose_b, a, b, c);
  cblas_dgemm(CblasRowMajor, flag(transpose_a), flag(transpose_b), m, n, k, alpha, a.data, stride(a.stride), b.data,
              stride(b.stride), beta, c.data, stride(c.stride));
}

void gemv(bool transpose, MatrixView<const float> a, std::span<const double> x, std::span<double> y) {
  assert(x.size() == (transpose ? a.rows : a.cols) && y.size() == (transpose ? a.cols : a.rows));
  if (!transpose) {
    for (std::size_t k = 0; k < a.rows; ++k) y[k] = dot_with_doubles(a.row(k).data(), x.data(), a.cols);
    return;
  }
  std::fill(y.begin(), y.end(), 0.0);
  for (std::size_t k = 0; k < a.rows; ++k) add_floats(x[k], a.row(k).data(), y.data(), a.cols);
}

double dot(std::span<const float> x, std::span<const float> y) {
  return dot_of_floats(x.data(), y.data(), x.size());
}

double dot(std::span<const float> x, std::span<const double> y) {
  return dot_with_doubles(x.data(), y.data(), x.size());
}

double dot(std::span<const double> x, std::span<const double> y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
  return sum;
}

double norm(std::span<const float> x) {
  return std::sqrt(dot(x, x));
}

double norm(std::span<const double> x) {
  return std::sqrt(dot(x, x));
}

}  // namespace coala
