#include <cstring>
#include <utility>

#include "linalg/cpu/bfloat_rounding_avx512.h"
#include "linalg/cpu/kernel_sets.h"

namespace coala {
namespace {

constexpr std::size_t kTileRows = 14;

/// Rows rows times a panel: a row's pairs are broadcast, a column's stand side by side.
template <std::size_t Rows>
void tile(const std::uint16_t* rows, const std::uint16_t* panel, std::size_t depth, float* c, std::size_t stride,
          __mmask16 first, __mmask16 second, bool accumulate) {
  __m512 sum[Rows][2];
#pragma GCC unroll 14
  for (std::size_t r = 0; r < Rows; ++r) {
    sum[r][0] = accumulate ? _mm512_maskz_loadu_ps(first, c + r * stride) : _mm512_setzero_ps();
    sum[r][1] = accumulate ? _mm512_maskz_loadu_ps(second, c + r * stride + 16) : _mm512_setzero_ps();
  }
  for (std::size_t i = 0; i < depth; i += 2) {
    const auto w0 = reinterpret_cast<__m512bh>(_mm512_loadu_si512(panel + i * kPanelColumns));
    const auto w1 = reinterpret_cast<__m512bh>(_mm512_loadu_si512(panel + i * kPanelColumns + 32));
#pragma GCC unroll 14
    for (std::size_t r = 0; r < Rows; ++r) {
      int pair;
      std::memcpy(&pair, rows + r * depth + i, sizeof pair);
      const auto x = reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
      sum[r][0] = _mm512_dpbf16_ps(sum[r][0], x, w0);
      sum[r][1] = _mm512_dpbf16_ps(sum[r][1], x, w1);
    }
  }
#pragma GCC unroll 14
  for (std::size_t r = 0; r < Rows; ++r) {
    _mm512_mask_storeu_ps(c + r * stride, first, sum[r][0]);
    _mm512_mask_storeu_ps(c + r * stride + 16, second, sum[r][1]);
  }
}

using Tile = void (*)(const std::uint16_t*, const std::uint16_t*, std::size_t, float*, std::size_t, __mmask16,
                      __mmask16, bool);
template <std::size_t... Rows>
Tile tile_of(std::size_t rows, std::index_sequence<Rows...>) {
  static constexpr Tile kTiles[] = {&tile<Rows + 1>...};
  return kTiles[rows - 1];
}

void product(const std::uint16_t* rounded, std::size_t rows, const std::uint16_t* panel, std::size_t columns,
             std::size_t k, float* c, std::size_t stride, bool accumulate) {
  const std::size_t depth = (k + kBFloatDepth - 1) / kBFloatDepth * kBFloatDepth;
  const std::uint32_t mask = columns < 32 ? (1u << columns) - 1u : 0xffffffffu;
  for (std::size_t begin = 0; begin < rows; begin += kTileRows) {
    const std::size_t here = rows - begin < kTileRows ? rows - begin : kTileRows;
    tile_of(here, std::make_index_sequence<kTileRows>{})(rounded + begin * depth, panel, depth, c + begin * stride,
                                                         stride, static_cast<__mmask16>(mask),
                                                         static_cast<__mmask16>(mask >> 16), accumulate);
  }
}

}  // namespace

const BFloatKernels kBFloat_avx512_bf16{"avx512-bf16", &BFloatRounding::round_rows, &BFloatRounding::round_panel,
                                        &product};

}  // namespace coala
