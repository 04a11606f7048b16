#pragma once

#include <cstdint>

#include "core/matrix.h"
#include "core/parallel.h"
#include "solver/design_rows.h"

namespace coala {

/// Gate vectors drawn from a standard normal distribution, [count, d], on the host: the same seed gives the same gates
/// with every backend and thread count.
Matrix<float> draw_gates(std::size_t count, std::size_t dimension, std::uint64_t seed);

/// Gates turned half-way towards the weights [P, d] of their groups, as unit vectors. A ReLU neuron is its own gate: it
/// is open where its weights' product is positive. Gates that were drawn blindly open elsewhere; turned in turn with
/// the weights they come to lie where the data bend (docs/math.md, "gates"). The zero gate, and gates whose group is
/// off, stay.
Matrix<float> refine_gates(const Matrix<float>& gates, const Matrix<float>& w);

/// Is the gate open: g'x >= 0? The product is summed in double and in order, here and wherever a head is scored, so
/// that training and scoring agree on which side of a gate a row lies.
bool gate_open(std::span<const float> gate, std::span<const float> x) noexcept;
bool gate_open(std::span<const float> gate, std::span<const double> x) noexcept;
bool gate_open(std::span<const double> gate, std::span<const double> x) noexcept;

/// D [n, P]: 1 where the gate is open. `side` is one side of a segment of `rows`.
template <class T>
Matrix<std::uint8_t> gate_pattern(const DesignRows<T>& rows, const StoredRows& side, MatrixView<const T> gates,
                                  ThreadPool& pool);
template <class T>
Matrix<std::uint8_t> gate_pattern(MatrixView<const T> x, MatrixView<const T> gates, ThreadPool& pool) {
  return gate_pattern(DesignRows<T>{}, StoredRows(x), gates, pool);
}

}  // namespace coala
