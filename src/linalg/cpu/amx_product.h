#pragma once

#include <cstddef>
#include <cstdint>

#include "linalg/bfloat_kernels.h"
#include "linalg/dense_kernels.h"

namespace coala {
namespace {  // compiled with the flags of the file that includes it

/// BFloatKernels::product by tiles of 16 rows of 64 bytes. Tiles is the CPU's, or what stands for it in the tests:
/// begin(), end(), and for tiles numbered at compile time load<t>(from, stride in bytes), store<t>(to, stride),
/// zero<t>() and multiply<c, a, b>(): c[16][16] += a[16][16 pairs] b[16 pairs][16].
///
/// Two by two tiles of sums (0 to 3) against two of rows (4, 5) and two of the panel (6, 7): four products for four
/// loads.
template <class Tiles>
void amx_product(const std::uint16_t* rounded, std::size_t rows, const std::uint16_t* panel, std::size_t columns,
                 std::size_t k, float* c, std::size_t stride, bool accumulate) {
  constexpr std::size_t kRow = kPanelColumns * sizeof(float);  // bytes of a row of pairs, and of sums
  const std::size_t depth = (k + kBFloatDepth - 1) / kBFloatDepth * kBFloatDepth;
  const std::size_t row_bytes = depth * sizeof(std::uint16_t);
  Tiles::begin();
  for (std::size_t begin = 0; begin < rows; begin += kBFloatRows) {
    const std::size_t here = rows - begin < kBFloatRows ? rows - begin : kBFloatRows;
    const bool whole = here == kBFloatRows && columns == kPanelColumns;
    alignas(64) float scratch[kBFloatRows * kPanelColumns] = {};
    float* const wanted = c + begin * stride;
    float* const sums = whole ? wanted : scratch;
    const std::size_t sums_stride = whole ? stride : kPanelColumns;
    for (std::size_t r = 0; accumulate && !whole && r < here; ++r) {
      for (std::size_t j = 0; j < columns; ++j) scratch[r * kPanelColumns + j] = wanted[r * stride + j];
    }
    const std::size_t bytes = sums_stride * sizeof(float);
    float* const lower = sums + 16 * sums_stride;
    if (accumulate) {
      Tiles::template load<0>(sums, bytes);
      Tiles::template load<1>(sums + 16, bytes);
      Tiles::template load<2>(lower, bytes);
      Tiles::template load<3>(lower + 16, bytes);
    } else {
      Tiles::template zero<0>();
      Tiles::template zero<1>();
      Tiles::template zero<2>();
      Tiles::template zero<3>();
    }
    const std::uint16_t* const upper_rows = rounded + begin * depth;
    for (std::size_t i = 0; i < depth; i += kBFloatDepth) {
      const std::uint16_t* const pairs = panel + i * kPanelColumns;
      Tiles::template load<4>(upper_rows + i, row_bytes);
      Tiles::template load<6>(pairs, kRow);
      Tiles::template load<7>(pairs + 32, kRow);
      Tiles::template multiply<0, 4, 6>();
      Tiles::template multiply<1, 4, 7>();
      Tiles::template load<5>(upper_rows + 16 * depth + i, row_bytes);
      Tiles::template multiply<2, 5, 6>();
      Tiles::template multiply<3, 5, 7>();
    }
    Tiles::template store<0>(sums, bytes);
    Tiles::template store<1>(sums + 16, bytes);
    Tiles::template store<2>(lower, bytes);
    Tiles::template store<3>(lower + 16, bytes);
    for (std::size_t r = 0; !whole && r < here; ++r) {
      for (std::size_t j = 0; j < columns; ++j) wanted[r * stride + j] = scratch[r * kPanelColumns + j];
    }
  }
  Tiles::end();
}

}  // namespace
}  // namespace coala
