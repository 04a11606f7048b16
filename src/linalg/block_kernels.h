#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "linalg/dense_kernels.h"

namespace coala {

/// How weights are stored in blocks; names and layouts are ggml's (ggml-common.h).
enum class BlockFormat { Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL, MXFP4, Q4_K, Q5_K, Q6_K };
inline constexpr std::size_t kBlockFormats = 10;

/// 32 numbers of a row that meets weights in blocks of 32, rounded to 8 bits.
struct RoundedBlock {
  float factor;  ///< a number is factor * numbers[i]
  float sum;     ///< of the 32 numbers
  std::int8_t numbers[32];
};

/// 256 numbers of a row that meets weights in blocks of 256 ("K"), rounded to 8 bits; ggml's Q8_K.
struct RoundedSuperblock {
  float factor;
  std::int8_t numbers[256];  ///< from -127 to 127
  std::int16_t sums[16];     ///< of 16 of `numbers` each
};

/// Weights in blocks: products of a few rows with them, and panels of them for products of many. Eight rows of weights
/// are decoded at a time, turned over, so that a register holds four numbers of each: then every row meets them without
/// an addition across lanes, and what is decoded once serves all rows. Sums within a block are exact, in integers;
/// those over blocks have one order, whatever the rows and columns.
struct BlockKernels {
  /// c[rows][columns] = x w^T.
  /// @param x  rows of RoundedBlock, or of RoundedSuperblock for K formats; x_stride and w_stride in bytes
  /// @param k  a multiple of the block
  using Dots = void (*)(const std::byte* x, std::size_t x_stride, std::size_t rows, const std::byte* w,
                        std::size_t w_stride, std::size_t columns, std::size_t k, float* c, std::size_t c_stride);
  std::array<Dots, kBlockFormats> dots;
  std::array<DenseKernels::PackPanel, kBlockFormats> pack_panel;

  Dots dots_of(BlockFormat format) const { return dots[static_cast<std::size_t>(format)]; }
  DenseKernels::PackPanel pack_panel_of(BlockFormat format) const {
    return pack_panel[static_cast<std::size_t>(format)];
  }
};

/// Those of this CPU, or null when it has none.
const BlockKernels* block_kernels();

}  // namespace coala
