#include "solver/gates.h"

#include <algorithm>

#include "core/random.h"

namespace coala {
namespace {

template <class T>
bool open(std::span<const T> gate, std::span<const T> x) noexcept {
  double sum = 0;
  for (std::size_t j = 0; j < x.size(); ++j) sum += static_cast<double>(gate[j]) * static_cast<double>(x[j]);
  return sum >= 0;
}

}  // namespace

Matrix<float> draw_gates(std::size_t count, std::size_t dimension, std::uint64_t seed) {
  Random random(seed);
  Matrix<float> gates(count, dimension);
  for (float& value : gates.values()) value = static_cast<float>(random.normal());
  return gates;
}

Matrix<float> draw_gates_with_linear(std::size_t count, std::size_t dimension, std::uint64_t seed) {
  const Matrix<float> drawn = draw_gates(count, dimension, seed);
  Matrix<float> gates(count + 1, dimension);
  std::copy(drawn.values().begin(), drawn.values().end(), gates.values().begin() + static_cast<long>(dimension));
  return gates;
}

bool gate_open(std::span<const float> gate, std::span<const float> x) noexcept {
  return open(gate, x);
}
bool gate_open(std::span<const double> gate, std::span<const double> x) noexcept {
  return open(gate, x);
}

template <class T>
Matrix<std::uint8_t> gate_pattern(MatrixView<const T> x, MatrixView<const T> gates, ThreadPool& pool) {
  Matrix<std::uint8_t> pattern(x.rows, gates.rows);
  pool.for_parts(x.rows, 64, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      for (std::size_t p = 0; p < gates.rows; ++p) pattern(i, p) = open<T>(gates.row(p), x.row(i)) ? 1 : 0;
    }
  });
  return pattern;
}

template Matrix<std::uint8_t> gate_pattern(MatrixView<const float>, MatrixView<const float>, ThreadPool&);
template Matrix<std::uint8_t> gate_pattern(MatrixView<const double>, MatrixView<const double>, ThreadPool&);

}  // namespace coala
