#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace coala {

/// Rounded rows and panels are padded with zeros to a multiple of this many numbers along k.
inline constexpr std::size_t kBFloatDepth = 32;
/// Buffers of rounded rows have room for a multiple of this many rows; what is in those beyond the last is not used.
inline constexpr std::size_t kBFloatRows = 32;

/// Kernels for products of numbers that are rounded to bfloat16 (8 bits, to nearest, ties to even; denormal numbers may
/// become zero) and added up in single precision: what CPUs have fast instructions for.
struct BFloatKernels {
  std::string_view name;

  /// `rows` rows of k numbers, `stride` numbers apart, become [rows][k rounded up to kBFloatDepth].
  void (*round_rows)(const float* x, std::size_t stride, std::size_t rows, std::size_t k, std::uint16_t* rounded);

  /// A panel [k][kPanelColumns] (dense_kernels.h) becomes [k rounded up to kBFloatDepth, halved][kPanelColumns][2].
  void (*round_panel)(const float* panel, std::size_t k, std::uint16_t* rounded);

  /// c[rows][columns] = (c +) rows panel, both rounded; k before it is rounded up, at most 32 columns. c's rows are
  /// `stride` numbers apart. A row's result does not depend on what other rows there are.
  void (*product)(const std::uint16_t* rounded, std::size_t rows, const std::uint16_t* panel, std::size_t columns,
                  std::size_t k, float* c, std::size_t stride, bool accumulate);
};

/// The fastest that this CPU runs: AMX tiles (which the tests replace by plain code on other CPUs),
/// AVX512-BF16, or plain vector instructions, which are no faster than single precision.
const BFloatKernels& bfloat_kernels();

}  // namespace coala
