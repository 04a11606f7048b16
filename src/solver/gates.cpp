#include "solver/gates.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "core/random.h"
#include "linalg/blas.h"

namespace coala {

Matrix<float> draw_gates(std::size_t count, std::size_t dimension, std::uint64_t seed) {
  Random random(seed);
  Matrix<float> gates(count, dimension);
  for (float& value : gates.values()) value = static_cast<float>(random.normal());
  return gates;
}

bool gate_open(std::span<const float> gate, std::span<const float> x) noexcept {
  return dot(gate, x) >= 0;
}
bool gate_open(std::span<const float> gate, std::span<const double> x) noexcept {
  return dot(gate, x) >= 0;
}
bool gate_open(std::span<const double> gate, std::span<const double> x) noexcept {
  return dot(gate, x) >= 0;
}

Matrix<float> refine_gates(const Matrix<float>& gates, const Matrix<float>& w) {
  Matrix<float> refined = gates;
  for (std::size_t p = 0; p < gates.rows(); ++p) {
    const double gate_size = std::sqrt(dot(gates.row(p), gates.row(p)));
    const double weight_size = std::sqrt(dot(w.row(p), w.row(p)));
    if (!(gate_size > 0) || !(weight_size > 0)) continue;
    // The neuron of a gate pays in or out: the weights' sign is the second layer's.
    const double sign = dot(gates.row(p), w.row(p)) < 0 ? -1 : 1;
    std::vector<double> sum(gates.cols());
    double square = 0;
    for (std::size_t j = 0; j < gates.cols(); ++j) {
      sum[j] = static_cast<double>(gates(p, j)) / gate_size + sign * static_cast<double>(w(p, j)) / weight_size;
      square += sum[j] * sum[j];  // at least 2: the two unit vectors do not point apart
    }
    for (std::size_t j = 0; j < gates.cols(); ++j) refined(p, j) = static_cast<float>(sum[j] / std::sqrt(square));
  }
  return refined;
}

template <class T>
Matrix<std::uint8_t> gate_pattern(const DesignRows<T>& rows, const StoredRows& side, MatrixView<const T> gates,
                                  ThreadPool& pool) {
  constexpr std::size_t kBlockRows = 64;
  const std::size_t d = gates.cols;
  const std::size_t count = gates.rows;
  Matrix<std::uint8_t> pattern(side.rows(), count);
  // |computed product - exact one| <= error ||g|| ||x||, for any order of the d products and sums (Higham 2002, section
  // 3.1), and the norms below are right to a few units in the last place: where the product is larger, its sign is
  // sure.
  const T error = static_cast<T>(d + 16) * std::numeric_limits<T>::epsilon();
  std::vector<T> sizes(count);
  for (std::size_t p = 0; p < count; ++p) sizes[p] = static_cast<T>(std::sqrt(dot(gates.row(p), gates.row(p))));
  std::vector<bool> zero(count);
  for (std::size_t p = 0; p < count; ++p) zero[p] = std::ranges::all_of(gates.row(p), [](T g) { return g == 0; });
  if (std::ranges::all_of(zero, std::identity())) {  // the linear model: no row is looked at
    std::ranges::fill(pattern.values(), std::uint8_t{1});
    return pattern;
  }
  pool.for_parts(side.rows(), kBlockRows, [&](int, std::size_t begin, std::size_t end) {
    Matrix<T> products(kBlockRows, count);
    Matrix<T> scratch;
    for (std::size_t at = begin; at < end; at += kBlockRows) {
      const std::size_t block_rows = std::min(kBlockRows, end - at);
      const MatrixView<const T> x = rows.block(side, at, at + block_rows, scratch);
      gemm(false, true, T(1), x, gates, T(0), MatrixView<T>(products.data(), block_rows, count));
      for (std::size_t i = 0; i < block_rows; ++i) {
        const std::span<const T> row = x.row(i);
        const T reach = error * static_cast<T>(std::sqrt(dot(row, row)));
        for (std::size_t p = 0; p < count; ++p) {
          const T product = products(i, p);
          const bool sure = zero[p] || std::abs(product) > reach * sizes[p];  // false for NaN and infinite bounds
          const bool open = sure ? product >= 0 : gate_open(gates.row(p), row);
          pattern(at + i, p) = open ? 1 : 0;
        }
      }
    }
  });
  return pattern;
}

template Matrix<std::uint8_t> gate_pattern(const DesignRows<float>&, const StoredRows&, MatrixView<const float>,
                                           ThreadPool&);
template Matrix<std::uint8_t> gate_pattern(const DesignRows<double>&, const StoredRows&, MatrixView<const double>,
                                           ThreadPool&);

}  // namespace coala
