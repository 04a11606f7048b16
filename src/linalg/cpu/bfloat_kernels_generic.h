#pragma once

#include <cstring>

#include "linalg/bfloat_kernels.h"
#include "linalg/dense_kernels.h"

namespace coala {
namespace {  // compiled once per instruction set, with the flags of the file that includes it

/// Without instructions for it: numbers are rounded and widened again by their bits.
template <int Bytes>
struct BFloatKernelsGeneric {
  static constexpr std::size_t kLanes = Bytes / sizeof(float);
  static constexpr std::size_t kVectors = 2;
  static constexpr std::size_t kTileRows = Bytes == 64 ? 8 : 4;
  using Vector __attribute__((vector_size(Bytes), aligned(4), may_alias)) = float;
  using Bits __attribute__((vector_size(Bytes), aligned(2), may_alias)) = std::uint32_t;

  /// As f32_to_bf16(), of which the linker might keep this file's copy for the whole program.
  static std::uint16_t rounded(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);  // not a number
    return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
  }

  static void round_rows(const float* x, std::size_t stride, std::size_t rows, std::size_t k, std::uint16_t* to) {
    const std::size_t depth = (k + kBFloatDepth - 1) / kBFloatDepth * kBFloatDepth;
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t i = 0; i < depth; ++i) to[r * depth + i] = i < k ? rounded(x[r * stride + i]) : 0;
    }
  }

  static void round_panel(const float* panel, std::size_t k, std::uint16_t* to) {
    const std::size_t depth = (k + kBFloatDepth - 1) / kBFloatDepth * kBFloatDepth;
    for (std::size_t i = 0; i < depth; ++i) {
      for (std::size_t j = 0; j < kPanelColumns; ++j) {
        to[(i / 2 * kPanelColumns + j) * 2 + i % 2] = i < k ? rounded(panel[i * kPanelColumns + j]) : 0;
      }
    }
  }

  static Vector all(std::uint32_t bits) { return reinterpret_cast<Vector>(Bits{} + bits); }

  template <std::size_t Rows>
  static void tile(const std::uint16_t* rows, const std::uint16_t* panel, std::size_t depth, float* sums) {
    Vector sum[Rows][kVectors] = {};
    for (std::size_t i = 0; i < depth; i += 2) {
      Vector even[kVectors];
      Vector odd[kVectors];
      for (std::size_t v = 0; v < kVectors; ++v) {
        const Bits both = *reinterpret_cast<const Bits*>(panel + i * kPanelColumns + v * kLanes * 2);
        even[v] = reinterpret_cast<Vector>(both << 16);
        odd[v] = reinterpret_cast<Vector>(both & 0xffff0000u);
      }
#pragma GCC unroll 8
      for (std::size_t r = 0; r < Rows; ++r) {
        const Vector x_even = all(std::uint32_t{rows[r * depth + i]} << 16);
        const Vector x_odd = all(std::uint32_t{rows[r * depth + i + 1]} << 16);
        for (std::size_t v = 0; v < kVectors; ++v) sum[r][v] += x_even * even[v] + x_odd * odd[v];
      }
    }
    for (std::size_t r = 0; r < Rows; ++r) {
      for (std::size_t v = 0; v < kVectors; ++v) {
        *reinterpret_cast<Vector*>(sums + r * kPanelColumns + v * kLanes) = sum[r][v];
      }
    }
  }

  static void product(const std::uint16_t* rounded, std::size_t rows, const std::uint16_t* panel, std::size_t columns,
                      std::size_t k, float* c, std::size_t stride, bool accumulate) {
    const std::size_t depth = (k + kBFloatDepth - 1) / kBFloatDepth * kBFloatDepth;
    for (std::size_t begin = 0; begin < rows;) {
      const std::size_t here = rows - begin < kTileRows ? 1 : kTileRows;
      float sums[kTileRows * kPanelColumns];
      for (std::size_t column = 0; column < kPanelColumns; column += kVectors * kLanes) {
        const auto multiply = here == 1 ? &tile<1> : &tile<kTileRows>;
        multiply(rounded + begin * depth, panel + column * 2, depth, sums + column);
      }
      for (std::size_t r = 0; r < here; ++r) {
        float* to = c + (begin + r) * stride;
        for (std::size_t j = 0; j < columns; ++j) {
          to[j] = (accumulate ? to[j] : 0.0f) + sums[r * kPanelColumns + j];
        }
      }
      begin += here;
    }
  }
};

template <int Bytes>
constexpr BFloatKernels bfloat_kernels_generic(std::string_view name) {
  using Kernels = BFloatKernelsGeneric<Bytes>;
  return {name, &Kernels::round_rows, &Kernels::round_panel, &Kernels::product};
}

}  // namespace
}  // namespace coala
