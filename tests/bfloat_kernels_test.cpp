#include "linalg/bfloat_kernels.h"

#include <gtest/gtest.h>

#ifdef __x86_64__
#include <cpuid.h>
#endif

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/half.h"
#include "core/random.h"
#include "linalg/cpu/amx_product.h"
#include "linalg/cpu/kernel_sets.h"

namespace coala {
namespace {

/// The tiles of a CPU with AMX, by plain code: eight of 16 rows of 64 bytes.
struct PlainTiles {
  static inline thread_local std::byte tiles[8][16][64];
  static inline thread_local bool configured = false;

  static void begin() { configured = true; }
  static void end() { configured = false; }
  template <int Tile>
  static void zero() {
    ASSERT_TRUE(configured);
    std::memset(tiles[Tile], 0, sizeof tiles[Tile]);
  }
  template <int Tile>
  static void load(const void* from, std::size_t stride) {
    ASSERT_TRUE(configured);
    for (std::size_t r = 0; r < 16; ++r)
      std::memcpy(tiles[Tile][r], static_cast<const std::byte*>(from) + r * stride, 64);
  }
  template <int Tile>
  static void store(void* to, std::size_t stride) {
    ASSERT_TRUE(configured);
    for (std::size_t r = 0; r < 16; ++r) std::memcpy(static_cast<std::byte*>(to) + r * stride, tiles[Tile][r], 64);
  }
  /// As Intel's manual says of TDPBF16PS, but for what it does with denormal numbers.
  template <int Sum, int A, int B>
  static void multiply() {
    ASSERT_TRUE(configured);
    for (std::size_t m = 0; m < 16; ++m) {
      for (std::size_t k = 0; k < 16; ++k) {
        std::uint16_t a[2];
        std::memcpy(a, tiles[A][m] + k * 4, 4);
        for (std::size_t n = 0; n < 16; ++n) {
          std::uint16_t b[2];
          std::memcpy(b, tiles[B][k] + n * 4, 4);
          float sum;
          std::memcpy(&sum, tiles[Sum][m] + n * 4, 4);
          for (int i = 0; i < 2; ++i) sum += bf16_to_f32(a[i]) * bf16_to_f32(b[i]);
          std::memcpy(tiles[Sum][m] + n * 4, &sum, 4);
        }
      }
    }
  }
};

std::vector<BFloatKernels> all_kernels() {
  const BFloatKernels& portable = kKernels_portable.bfloat;
  std::vector<BFloatKernels> all{
      portable, {"tiles by plain code", portable.round_rows, portable.round_panel, &amx_product<PlainTiles>}};
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) all.push_back(kKernels_avx2.bfloat);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl")) {
    all.push_back(kKernels_avx512.bfloat);
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 5 & 1u) != 0) all.push_back(kBFloat_avx512_bf16);
  }
#endif
  all.push_back(bfloat_kernels());
  return all;
}

std::vector<float> random_numbers(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> numbers(count);
  for (float& number : numbers) number = static_cast<float>(random.normal());
  return numbers;
}

std::size_t depth_of(std::size_t k) {
  return (k + kBFloatDepth - 1) / kBFloatDepth * kBFloatDepth;
}

float nearest(float value) {
  return bf16_to_f32(f32_to_bf16(value));
}

TEST(BFloatKernels, RoundToNearestAndPadWithZeros) {
  for (const BFloatKernels& kernels : all_kernels()) {
    for (const std::size_t k : {1u, 2u, 15u, 31u, 32u, 33u, 77u, 256u}) {
      const std::size_t rows = 3;
      std::vector<float> x = random_numbers(rows * (k + 2), k);
      x[0] = std::bit_cast<float>(0x3f808000u);             // halfway: to even, down
      if (k > 2) x[1] = std::bit_cast<float>(0x3f818000u);  // halfway: up
      std::vector<std::uint16_t> rounded(kBFloatRows * depth_of(k), 7);
      kernels.round_rows(x.data(), k + 2, rows, k, rounded.data());
      for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t i = 0; i < depth_of(k); ++i) {
          const std::uint16_t expected = i < k ? f32_to_bf16(x[r * (k + 2) + i]) : 0;
          ASSERT_EQ(rounded[r * depth_of(k) + i], expected) << kernels.name << " " << k << " " << r << " " << i;
        }
      }
      const std::vector<float> panel = random_numbers(k * kPanelColumns, k + 1);
      std::vector<std::uint16_t> pairs(depth_of(k) * kPanelColumns, 7);
      kernels.round_panel(panel.data(), k, pairs.data());
      for (std::size_t i = 0; i < depth_of(k); ++i) {
        for (std::size_t j = 0; j < kPanelColumns; ++j) {
          const std::uint16_t expected = i < k ? f32_to_bf16(panel[i * kPanelColumns + j]) : 0;
          ASSERT_EQ(pairs[(i / 2 * kPanelColumns + j) * 2 + i % 2], expected) << kernels.name << " " << k;
        }
      }
    }
  }
}

TEST(BFloatKernels, MultiplyAsInDoublePrecisionWhateverTheNeighbours) {
  for (const BFloatKernels& kernels : all_kernels()) {
    for (const std::size_t rows : {1u, 5u, 14u, 16u, 31u, 32u, 45u, 64u}) {
      for (const std::size_t columns : {1u, 16u, 17u, 31u, 32u}) {
        for (const std::size_t k : {3u, 32u, 100u, 256u}) {
          const std::vector<float> x = random_numbers(rows * k, rows + k);
          std::vector<float> panel = random_numbers(k * kPanelColumns, columns);
          std::vector<std::uint16_t> rounded((rows + kBFloatRows) * depth_of(k), 0x7fc0);  // beyond: not numbers
          std::vector<std::uint16_t> pairs(depth_of(k) * kPanelColumns);
          kernels.round_rows(x.data(), k, rows, k, rounded.data());
          kernels.round_panel(panel.data(), k, pairs.data());
          const std::size_t stride = columns + 3;
          const std::vector<float> before = random_numbers(rows * stride, 9);
          for (const bool accumulate : {false, true}) {
            std::vector<float> c = before;
            kernels.product(rounded.data(), rows, pairs.data(), columns, k, c.data(), stride, accumulate);
            std::vector<float> alone(stride, 0.0f);
            if (accumulate) alone.assign(before.end() - static_cast<std::ptrdiff_t>(stride), before.end());
            kernels.product(rounded.data() + (rows - 1) * depth_of(k), 1, pairs.data(), columns, k, alone.data(),
                            stride, accumulate);
            for (std::size_t r = 0; r < rows; ++r) {
              for (std::size_t j = 0; j < stride; ++j) {
                const float found = c[r * stride + j];
                if (j >= columns) {
                  ASSERT_EQ(found, before[r * stride + j]) << kernels.name;
                  continue;
                }
                double sum = accumulate ? before[r * stride + j] : 0.0;
                double size = std::abs(sum);
                for (std::size_t i = 0; i < k; ++i) {
                  const double term = double{nearest(x[r * k + i])} * double{nearest(panel[i * kPanelColumns + j])};
                  sum += term;
                  size += std::abs(term);
                }
                // Each of the k + 1 additions rounds what has been added up so far, at most `size`.
                ASSERT_NEAR(found, sum, static_cast<double>(k + 1) * 0x1p-24 * size)
                    << kernels.name << " " << rows << " " << columns << " " << k;
                if (r + 1 < rows) continue;
                ASSERT_EQ(found, alone[j]) << kernels.name << ": a row alone";
              }
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace coala
