#pragma once

#include <immintrin.h>

#include "linalg/bfloat_kernels.h"
#include "linalg/dense_kernels.h"

namespace coala {
namespace {  // compiled with the flags of the file that includes it

/// Rounding by AVX512-BF16, for it and for AMX.
struct BFloatRounding {
  static void round_rows(const float* x, std::size_t stride, std::size_t rows, std::size_t k, std::uint16_t* rounded) {
    const std::size_t depth = (k + kBFloatDepth - 1) / kBFloatDepth * kBFloatDepth;
    for (std::size_t r = 0; r < rows; ++r) {
      const float* row = x + r * stride;
      for (std::size_t i = 0; i < depth; i += 32) {
        const auto mask = [&](std::size_t from) {
          const std::size_t left = from < k ? k - from : 0;
          return static_cast<__mmask16>(left >= 16 ? 0xffffu : (1u << left) - 1u);
        };
        const __m512 low = _mm512_maskz_loadu_ps(mask(i), row + i);
        const __m512 high = _mm512_maskz_loadu_ps(mask(i + 16), row + i + 16);
        _mm512_storeu_si512(rounded + r * depth + i, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
      }
    }
  }

  static void round_panel(const float* panel, std::size_t k, std::uint16_t* rounded) {
    const std::size_t depth = (k + kBFloatDepth - 1) / kBFloatDepth * kBFloatDepth;
    alignas(64) std::uint16_t order[32];  // a number of the one row, then its neighbour in the next
    for (std::uint16_t j = 0; j < 32; ++j) order[j] = static_cast<std::uint16_t>(j / 2 + j % 2 * 16);
    const __m512i alternate = _mm512_load_si512(order);
    for (std::size_t i = 0; i < depth; i += 2) {
      for (std::size_t j = 0; j < kPanelColumns; j += 16) {
        const float* from = panel + i * kPanelColumns + j;
        const __m512 even = i < k ? _mm512_loadu_ps(from) : _mm512_setzero_ps();
        const __m512 odd = i + 1 < k ? _mm512_loadu_ps(from + kPanelColumns) : _mm512_setzero_ps();
        const auto both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(odd, even));
        _mm512_storeu_si512(rounded + (i / 2 * kPanelColumns + j) * 2, _mm512_permutexvar_epi16(alternate, both));
      }
    }
  }
};

}  // namespace
}  // namespace coala
