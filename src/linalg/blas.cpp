#include "linalg/blas.h"

#include <cblas.h>

#include <cassert>

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

void gemv(bool transpose, MatrixView<const float> a, std::span<const float> x, std::span<float> y) {
  assert(x.size() == (transpose ? a.rows : a.cols) && y.size() == (transpose ? a.cols : a.rows));
  cblas_sgemv(CblasRowMajor, flag(transpose), static_cast<int>(a.rows), static_cast<int>(a.cols), 1.0f, a.data,
              stride(a.stride), x.data(), 1, 0.0f, y.data(), 1);
}

double dot(std::span<const float> x, std::span<const float> y) {
  return dot_of_floats(x.data(), y.data(), x.size());
}

double dot(std::span<const double> x, std::span<const double> y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
  return sum;
}

}  // namespace coala
