#include "linalg/dense_kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "core/aligned.h"
#include "core/half.h"
#include "core/random.h"
#include "linalg/cpu/kernel_sets.h"

namespace coala {
namespace {

constexpr double kUnit = 0x1p-24;

/// Kernels that this CPU runs.
std::vector<const KernelSet*> kernel_sets() {
  std::vector<const KernelSet*> sets{&kKernels_portable};
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) {
    sets.push_back(&kKernels_avx2);
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl")) {
    sets.push_back(&kKernels_avx512);
  }
#endif
  return sets;
}

std::vector<float> random_numbers(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> numbers(count);
  for (float& number : numbers) number = static_cast<float>(random.normal());
  return numbers;
}

/// x [m, k] times w [n, k] turned over, by the kernels.
std::vector<float> product_of(const DenseKernels& kernels, const std::vector<float>& x, const std::byte* w,
                              std::size_t number_bytes, DenseKernels::PackPanel pack, std::size_t m, std::size_t n,
                              std::size_t k) {
  std::vector<float> c(m * n, NAN);
  AlignedVector<float> packed((m + kernels.row_tile) * kPanelDepth);
  AlignedVector<float> panel(kPanelDepth * kPanelColumns);
  for (std::size_t from = 0; from < k; from += kPanelDepth) {
    const std::size_t step = std::min(kPanelDepth, k - from);
    kernels.pack_rows(x.data() + from, k, m, step, packed.data());
    for (std::size_t j = 0; j < n; j += kPanelColumns) {
      const std::size_t here = std::min(kPanelColumns, n - j);
      pack(w + (j * k + from) * number_bytes, k * number_bytes, here, step, panel.data());
      kernels.product(packed.data(), m, panel.data(), here, step, c.data() + j, n, from > 0);
    }
  }
  return c;
}

TEST(DenseKernels, MultiplyAsInDoublePrecision) {
  Random random(3);
  for (const KernelSet* set : kernel_sets()) {
    const DenseKernels& kernels = set->dense;
    for (int trial = 0; trial < 30; ++trial) {
      const std::size_t m = 1 + random.below(40);
      const std::size_t n = 1 + random.below(80);
      const std::size_t k = 1 + random.below(trial % 3 == 0 ? 700 : 60);
      const auto x = random_numbers(m * k, 10u + trial);
      auto w = random_numbers(n * k, 50u + trial);
      std::vector<std::uint16_t> half(w.size());
      const auto check = [&](const std::byte* stored, std::size_t bytes, DenseKernels::PackPanel pack, auto value) {
        const auto c = product_of(kernels, x, stored, bytes, pack, m, n, k);
        for (std::size_t i = 0; i < m; ++i) {
          for (std::size_t j = 0; j < n; ++j) {
            double exact = 0;
            double magnitude = 0;
            for (std::size_t p = 0; p < k; ++p) {
              const double term = static_cast<double>(x[i * k + p]) * value(j * k + p);
              exact += term;
              magnitude += std::abs(term);
            }
            // k rounded additions of what is at most `magnitude`.
            ASSERT_NEAR(c[i * n + j], exact, static_cast<double>(k) * kUnit * magnitude)
                << set->name << ", " << m << " x " << n << " x " << k << " at " << i << ", " << j;
          }
        }
      };
      check(reinterpret_cast<const std::byte*>(w.data()), 4, kernels.pack_panel_f32,
            [&](std::size_t i) { return static_cast<double>(w[i]); });
      for (std::size_t i = 0; i < w.size(); ++i) half[i] = f32_to_f16(w[i]);
      check(reinterpret_cast<const std::byte*>(half.data()), 2, kernels.pack_panel_f16,
            [&](std::size_t i) { return static_cast<double>(f16_to_f32(half[i])); });
      for (std::size_t i = 0; i < w.size(); ++i) half[i] = f32_to_bf16(w[i]);
      check(reinterpret_cast<const std::byte*>(half.data()), 2, kernels.pack_panel_bf16,
            [&](std::size_t i) { return static_cast<double>(bf16_to_f32(half[i])); });
    }
  }
}

/// What features that do not depend on their neighbours rest on.
TEST(DenseKernels, ARowDoesNotDependOnTheOthers) {
  const std::size_t n = 70;
  const std::size_t k = 600;
  const auto x = random_numbers(45 * k, 1);
  const auto w = random_numbers(n * k, 2);
  for (const KernelSet* set : kernel_sets()) {
    const DenseKernels& kernels = set->dense;
    const auto of = [&](std::size_t first, std::size_t rows) {
      const std::vector<float> part(x.begin() + static_cast<std::ptrdiff_t>(first * k),
                                    x.begin() + static_cast<std::ptrdiff_t>((first + rows) * k));
      return product_of(kernels, part, reinterpret_cast<const std::byte*>(w.data()), 4, kernels.pack_panel_f32, rows, n,
                        k);
    };
    const auto all = of(0, 45);
    for (const auto& [first, rows] : {std::pair<std::size_t, std::size_t>{0, 1}, {44, 1}, {7, 30}, {13, 15}}) {
      const auto some = of(first, rows);
      EXPECT_EQ(std::memcmp(some.data(), all.data() + first * n, some.size() * sizeof(float)), 0) << set->name;
    }
  }
}

TEST(DenseKernels, DotsOfAFewRowsAreThoseOfDoublePrecisionWhateverTheNeighbours) {
  Random random(5);
  for (const KernelSet* set : kernel_sets()) {
    const DenseKernels& kernels = set->dense;
    for (int trial = 0; trial < 40; ++trial) {
      const std::size_t m = trial == 0 ? 13 : 1 + random.below(19);
      const std::size_t n = 1 + random.below(40);
      // Of rows that are longer than 4096 nothing is kept.
      const std::size_t k = trial == 0 ? 5001 : 1 + random.below(trial % 2 == 0 ? 700 : 40);
      const std::size_t gap = random.below(5);  // x and c are parts of wider matrices
      const auto x = random_numbers(m * (k + gap), 100u + trial);
      const auto w = random_numbers(n * k, 200u + trial);
      std::vector<std::uint16_t> half(w.size());
      const auto check = [&](const std::byte* stored, std::size_t bytes, DenseKernels::Dots dots, auto value) {
        std::vector<float> c(m * (n + gap), 7.0f);
        dots(x.data(), k + gap, m, stored, k * bytes, n, k, c.data(), n + gap);
        for (std::size_t i = 0; i < m; ++i) {
          for (std::size_t j = 0; j < n; ++j) {
            double exact = 0;
            double magnitude = 0;
            for (std::size_t p = 0; p < k; ++p) {
              const double term = static_cast<double>(x[i * (k + gap) + p]) * value(j * k + p);
              exact += term;
              magnitude += std::abs(term);
            }
            const float found = c[i * (n + gap) + j];
            // A register of sums adds k / 4 or fewer terms at a time, then its lanes: never more than k + 4 roundings.
            ASSERT_NEAR(found, exact, static_cast<double>(k + 4) * kUnit * magnitude)
                << set->name << ", " << m << " x " << n << " x " << k << " at " << i << ", " << j;
            float alone = 0;
            dots(x.data() + i * (k + gap), k, 1, stored + j * k * bytes, k * bytes, 1, k, &alone, 1);
            ASSERT_EQ(alone, found);
          }
          for (std::size_t j = n; j < n + gap; ++j) ASSERT_EQ(c[i * (n + gap) + j], 7.0f);
        }
      };
      check(reinterpret_cast<const std::byte*>(w.data()), 4, kernels.dots_f32,
            [&](std::size_t i) { return static_cast<double>(w[i]); });
      for (std::size_t i = 0; i < w.size(); ++i) half[i] = f32_to_f16(w[i]);
      check(reinterpret_cast<const std::byte*>(half.data()), 2, kernels.dots_f16,
            [&](std::size_t i) { return static_cast<double>(f16_to_f32(half[i])); });
      for (std::size_t i = 0; i < w.size(); ++i) half[i] = f32_to_bf16(w[i]);
      check(reinterpret_cast<const std::byte*>(half.data()), 2, kernels.dots_bf16,
            [&](std::size_t i) { return static_cast<double>(bf16_to_f32(half[i])); });
    }
  }
}

/// Blocks of 32 numbers of 8 bits behind their factor.
std::vector<std::byte> random_blocks(std::size_t count, std::uint64_t seed, std::vector<double>& values) {
  Random random(seed);
  std::vector<std::byte> blocks;
  for (std::size_t b = 0; b < count; ++b) {
    const std::uint16_t factor = f32_to_f16(static_cast<float>(0.01 * random.normal()));
    blocks.push_back(static_cast<std::byte>(factor & 0xff));
    blocks.push_back(static_cast<std::byte>(factor >> 8));
    for (int i = 0; i < 32; ++i) {
      const int number = static_cast<int>(random.below(255)) - 127;
      blocks.push_back(static_cast<std::byte>(number));
      values.push_back(static_cast<double>(f16_to_f32(factor)) * number);
    }
  }
  return blocks;
}

TEST(DenseKernels, DotsWithBlocksOfEightBitsAreThoseOfDoublePrecisionWhateverTheNeighbours) {
  Random random(6);
  for (const KernelSet* set : kernel_sets()) {
    const DenseKernels::Dots dots = set->dense.dots_q8_0;
    if (dots == nullptr) continue;
    for (int trial = 0; trial < 30; ++trial) {
      const std::size_t m = 1 + random.below(19);
      const std::size_t n = 1 + random.below(40);
      const std::size_t k = 32 * (1 + random.below(12));
      const auto x = random_numbers(m * k, 300u + trial);
      std::vector<double> w;
      const std::vector<std::byte> blocks = random_blocks(n * k / 32, 400u + trial, w);
      const std::size_t stride = k / 32 * 34;
      std::vector<float> c(m * n);
      dots(x.data(), k, m, blocks.data(), stride, n, k, c.data(), n);
      for (std::size_t i = 0; i < m; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
          double exact = 0;
          double magnitude = 0;
          for (std::size_t p = 0; p < k; ++p) {
            const double term = static_cast<double>(x[i * k + p]) * w[j * k + p];
            exact += term;
            magnitude += std::abs(term);
          }
          // A factor times a number of 8 bits has 19 bits: a weight is exact.
          ASSERT_NEAR(c[i * n + j], exact, static_cast<double>(k + 4) * kUnit * magnitude)
              << set->name << ", " << m << " x " << n << " x " << k << " at " << i << ", " << j;
          float alone = 0;
          dots(x.data() + i * k, k, 1, blocks.data() + j * stride, stride, 1, k, &alone, 1);
          ASSERT_EQ(alone, c[i * n + j]);
        }
      }
    }
  }
}

TEST(DenseKernels, SoftMaxIsThatOfDoublePrecision) {
  const std::size_t count = 96;
  for (const KernelSet* set : kernel_sets()) {
    const DenseKernels& kernels = set->dense;
    const std::size_t rows = kernels.row_tile - 1;
    auto x = random_numbers(rows * count, 4);
    for (float& value : x) value *= 40;
    std::vector<float> bias(rows * count);
    Random random(9);
    for (std::size_t i = 0; i < bias.size(); ++i) bias[i] = random.below(3) == 0 ? -INFINITY : 0;
    for (std::size_t r = 0; r < rows; ++r) bias[r * count + 5] = 0;
    std::vector<const float*> biases(kernels.row_tile);
    for (std::size_t r = 0; r < rows; ++r) biases[r] = bias.data() + r * count;
    const auto before = x;
    std::vector<float> packed(kernels.row_tile * count, NAN);
    std::vector<float> sums(kernels.row_tile);
    kernels.soft_max(x.data(), biases.data(), rows, count, 0.25f, packed.data(), sums.data());
    for (std::size_t r = 0; r < rows; ++r) {
      double highest = -INFINITY;
      for (std::size_t i = 0; i < count; ++i) {
        highest = std::max(highest, 0.25 * static_cast<double>(before[r * count + i]) + bias[r * count + i]);
      }
      double sum = 0;
      for (std::size_t i = 0; i < count; ++i) {
        const double z = 0.25 * static_cast<double>(before[r * count + i]) + bias[r * count + i] - highest;
        const double exact = std::exp(z);
        sum += exact;
        const float found = packed[i * kernels.row_tile + r];
        if (bias[r * count + i] == -INFINITY) {
          EXPECT_EQ(found, 0.0f);
        } else {
          // The exponent is rounded before exp, which makes a relative error of |z| u; then exp's own; below 2^-126
          // zero.
          EXPECT_NEAR(found, exact, (2e-7 + 2 * kUnit * std::abs(z)) * exact + 0x1p-125) << set->name << " at " << z;
        }
      }
      EXPECT_NEAR(sums[r], sum, 1e-5 * sum);
    }
  }
}

TEST(DenseKernels, GeluIsThatOfDoublePrecision) {
  for (const KernelSet* set : kernel_sets()) {
    if (set->dense.gelu == nullptr) continue;
    std::vector<float> x;
    for (int i = -2000; i <= 2001; ++i) x.push_back(static_cast<float>(i) * 0.0123f);
    x.insert(x.end(), {0.0f, -0.0f, 1e-30f, -1e-30f, 80.0f, -80.0f, 1e4f, -1e4f});
    const auto gate = random_numbers(x.size(), 9);
    std::vector<float> plain(x.size());
    std::vector<float> gated = gate;
    set->dense.gelu(x.data(), nullptr, x.size(), plain.data());
    set->dense.gelu(x.data(), gated.data(), x.size(), gated.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double v = x[i];
      const double exact = v / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
      // Far out the exponent's own rounding counts: its size is up to 87.
      ASSERT_NEAR(plain[i], exact, 2e-6 * std::abs(exact) * (1 + std::abs(v)) + 1e-30) << set->name << " at " << v;
      ASSERT_EQ(gated[i], plain[i] * gate[i]) << set->name << " at " << v;
    }
  }
}

}  // namespace
}  // namespace coala
