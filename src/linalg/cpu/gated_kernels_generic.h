// Written once, compiled once per instruction set with that set's flags (see src/CMakeLists.txt): the compiler's vector
// types stand for whatever registers the set has. Included by the files kernels_<set>.cpp only. No library
// function is called at run time: its copy from here, with instructions that not every CPU has, could be the one that
// the linker keeps for the whole program.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "linalg/gated_kernels.h"

namespace coala {
namespace {  // every instruction set keeps its own copy: the linker must not merge them

/// @tparam Bytes  width of a register
/// @tparam Registers  accumulators that a tile may use, leaving a few for operands
template <class T, int Bytes, int Registers>
struct GatedKernelsGeneric {
  static constexpr int kLanes = Bytes / static_cast<int>(sizeof(T));
  static constexpr int kVectors = static_cast<int>(kChunkGroups) / kLanes;  // registers per chunk
  using Vector __attribute__((vector_size(Bytes), aligned(sizeof(T)), may_alias)) = T;
  using Word = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  using Bits __attribute__((vector_size(Bytes))) = Word;

  // Rows of a forward tile and columns of an adjoint tile. More than 12 rows would compete for the 12 ways of a
  // first-level cache set whenever the row stride is a power of two.
  static constexpr int kRowTile = std::max(1, std::min(12, Registers / kVectors));
  static constexpr int kColumnTile = std::max(1, Registers / kVectors);

  /// All ones in the lanes whose group is open.
  static Bits open_lanes(std::uint16_t word, int vector) {
    Bits lane_bit;
    for (int k = 0; k < kLanes; ++k) lane_bit[k] = Word{1} << (vector * kLanes + k);
    const Bits all = Bits{} + static_cast<Word>(word);
    return (all & lane_bit) != 0;
  }

  static Vector load(const T* from) { return *reinterpret_cast<const Vector*>(from); }
  static void store(T* to, Vector value) { *reinterpret_cast<Vector*>(to) = value; }

  static T sum(Vector v) {
    T total = 0;
    for (int k = 0; k < kLanes; ++k) total += v[k];
    return total;
  }

  template <int Rows>
  static void forward_tile(const T* x, std::size_t stride, std::size_t d, const T* w, const std::uint16_t* pattern,
                           std::size_t chunks, T sign, T* z) {
    Vector acc[Rows][kVectors] = {};
    for (std::size_t j = 0; j < d; ++j) {
      Vector weight[kVectors];
      for (int v = 0; v < kVectors; ++v) weight[v] = load(w + j * kChunkGroups + v * kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
        const T value = x[static_cast<std::size_t>(i) * stride + j];
        for (int v = 0; v < kVectors; ++v) acc[i][v] += value * weight[v];
      }
    }
    for (int i = 0; i < Rows; ++i) {
      Vector open{};
      for (int v = 0; v < kVectors; ++v) {
        open += open_lanes(pattern[static_cast<std::size_t>(i) * chunks], v) ? acc[i][v] : Vector{};
      }
      z[i] += sign * sum(open);
    }
  }

  static void forward(const T* x, std::size_t stride, std::size_t rows, std::size_t d, const T* w, std::size_t chunks,
                      const std::uint16_t* pattern, T sign, T* z) {
    for (std::size_t c = 0; c < chunks; ++c) {
      const T* const weights = w + c * d * kChunkGroups;
      std::size_t i = 0;
      for (; i + kRowTile <= rows; i += kRowTile) {
        forward_tile<kRowTile>(x + i * stride, stride, d, weights, pattern + i * chunks + c, chunks, sign, z + i);
      }
      for (; i < rows; ++i) {
        forward_tile<1>(x + i * stride, stride, d, weights, pattern + i * chunks + c, chunks, sign, z + i);
      }
    }
  }

  template <int Columns>
  static void adjoint_tile(const T* x, std::size_t stride, std::size_t rows, const T* spread, T* g) {
    Vector acc[Columns][kVectors];
    for (int j = 0; j < Columns; ++j) {
      for (int v = 0; v < kVectors; ++v) {
        acc[j][v] = load(g + static_cast<std::size_t>(j) * kChunkGroups + v * kLanes);
      }
    }
    for (std::size_t i = 0; i < rows; ++i) {
      Vector r[kVectors];
      for (int v = 0; v < kVectors; ++v) r[v] = load(spread + i * kChunkGroups + v * kLanes);
      const T* const row = x + i * stride;
#pragma GCC unroll 32
      for (int j = 0; j < Columns; ++j) {
        for (int v = 0; v < kVectors; ++v) acc[j][v] += row[j] * r[v];
      }
    }
    for (int j = 0; j < Columns; ++j) {
      for (int v = 0; v < kVectors; ++v) {
        store(g + static_cast<std::size_t>(j) * kChunkGroups + v * kLanes, acc[j][v]);
      }
    }
  }

  static void adjoint(const T* x, std::size_t stride, std::size_t rows, std::size_t d, const T* r, std::size_t chunks,
                      const std::uint16_t* pattern, T sign, T* g) {
    constexpr std::size_t kStep = 64;  // rows whose spread derivatives are held at a time
    T spread[kStep * kChunkGroups];
    for (std::size_t first = 0; first < rows; first += kStep) {
      const std::size_t count = rows - first < kStep ? rows - first : kStep;
      for (std::size_t c = 0; c < chunks; ++c) {
        for (std::size_t i = 0; i < count; ++i) {
          const Vector value = Vector{} + sign * r[first + i];
          for (int v = 0; v < kVectors; ++v) {
            store(spread + i * kChunkGroups + v * kLanes,
                  open_lanes(pattern[(first + i) * chunks + c], v) ? value : Vector{});
          }
        }
        const T* const block = x + first * stride;
        T* const gradient = g + c * d * kChunkGroups;
        std::size_t j = 0;
        for (; j + kColumnTile <= d; j += kColumnTile) {
          adjoint_tile<kColumnTile>(block + j, stride, count, spread, gradient + j * kChunkGroups);
        }
        for (; j < d; ++j) adjoint_tile<1>(block + j, stride, count, spread, gradient + j * kChunkGroups);
      }
    }
  }
};

}  // namespace
}  // namespace coala
