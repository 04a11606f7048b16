// Products of a few rows with weights in blocks, beside double precision and beside ggml's inner products.
#include "lm/few_rows.h"

#include <ggml-cpu.h>
#include <ggml.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/random.h"
#include "linalg/block_kernels.h"
#include "lm/block_types.h"

namespace coala {
namespace {

constexpr double kUnit = 0x1p-24;

/// Numbers whose size and mean change along a row, so that blocks differ in all that they store.
std::vector<float> random_numbers(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> numbers(count);
  for (std::size_t i = 0; i < count; ++i) {
    const double size = std::exp(std::sin(static_cast<double>(i / 16)));
    numbers[i] = static_cast<float>(size * (random.normal() + 0.5 * std::cos(static_cast<double>(i / 32))));
  }
  return numbers;
}

/// Rows of weights [columns][k] of a type.
struct Weights {
  Weights(ggml_type stored_as, std::size_t numbers, std::size_t rows, std::uint64_t seed)
      : type(stored_as),
        k(numbers),
        columns(rows),
        stride(ggml_row_size(stored_as, static_cast<std::int64_t>(numbers))) {
    const std::vector<float> source = random_numbers(k * columns, seed);
    bytes.resize(stride * columns);
    const auto as_ggml = [](std::size_t count) { return static_cast<std::int64_t>(count); };
    ggml_quantize_chunk(type, source.data(), bytes.data(), 0, as_ggml(columns), as_ggml(k), nullptr);
    numbers_.resize(k * columns);
    for (std::size_t j = 0; j < columns; ++j) {
      ggml_get_type_traits(type)->to_float(bytes.data() + j * stride, numbers_.data() + j * k, as_ggml(k));
    }
  }
  const float* row(std::size_t j) const { return numbers_.data() + j * k; }

  ggml_type type;
  std::size_t k, columns, stride;
  std::vector<std::byte> bytes;

 private:
  std::vector<float> numbers_;
};

template <class Block>
constexpr std::size_t kNumbers = sizeof(Block{}.numbers);

/// Rows as the kernels take them, and what they stand for.
template <class Block>
struct RoundedRows {
  RoundedRows(std::size_t count, std::size_t k_, std::uint64_t seed) : k(k_), blocks(count * k / kNumbers<Block>) {
    Random random(seed);
    for (Block& block : blocks) {
      block.factor = static_cast<float>(std::exp(random.normal()) / 127);
      int sum = 0;
      for (std::int8_t& number : block.numbers) {
        // Whole blocks at the ends of the range too, where sums in 16 bits are largest.
        const bool extreme = random.below(4) == 0;
        number = static_cast<std::int8_t>(extreme ? 127 : static_cast<int>(random.below(255)) - 127);
        sum += number;
      }
      if (random.below(8) == 0) {
        const int end = random.below(2) == 0 ? 127 : -127;
        std::ranges::fill(block.numbers, static_cast<std::int8_t>(end));
        sum = end * static_cast<int>(kNumbers<Block>);
      }
      if constexpr (std::is_same_v<Block, RoundedBlock>) {
        block.sum = block.factor * static_cast<float>(sum);
      } else {
        for (std::size_t i = 0; i < 16; ++i) {
          block.sums[i] = 0;
          for (std::size_t p = 0; p < 16; ++p)
            block.sums[i] = static_cast<std::int16_t>(block.sums[i] + block.numbers[16 * i + p]);
        }
      }
    }
  }
  std::size_t row_blocks() const { return k / kNumbers<Block>; }
  double number(std::size_t row, std::size_t i) const {
    const Block& block = blocks[row * row_blocks() + i / kNumbers<Block>];
    return static_cast<double>(block.factor) * block.numbers[i % kNumbers<Block>];
  }
  const std::byte* row(std::size_t r) const {
    return reinterpret_cast<const std::byte*>(blocks.data() + r * row_blocks());
  }
  std::size_t stride() const { return row_blocks() * sizeof(Block); }

  std::size_t k;
  std::vector<Block> blocks;
};

template <class Block>
void check_kernel(const BlockType& format, std::size_t rows, std::size_t columns, std::size_t k) {
  SCOPED_TRACE(std::string(ggml_type_name(format.type)) + ", " + std::to_string(rows) + " rows, " +
               std::to_string(columns) + " columns, k " + std::to_string(k));
  const BlockKernels::Dots dots = block_kernels()->dots_of(format.format);
  const Weights weights(format.type, k, columns, rows + columns);
  const RoundedRows<Block> x(rows, k, k + rows);
  std::vector<float> c(rows * columns, NAN);
  dots(x.row(0), x.stride(), rows, weights.bytes.data(), weights.stride, columns, k, c.data(), columns);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t j = 0; j < columns; ++j) {
      double exact = 0;
      double magnitude = 0;
      for (std::size_t begin = 0; begin < k; begin += 32) {
        double largest = 0;
        double size = 0;
        for (std::size_t i = begin; i < begin + 32; ++i) {
          exact += weights.row(j)[i] * x.number(r, i);
          largest = std::max(largest, std::abs(static_cast<double>(weights.row(j)[i])));
          size += std::abs(x.number(r, i));
        }
        magnitude += largest * size;
      }
      // A weight is factor * q plus another number: neither is more than twice the largest weight of the block.
      // Products and factors are rounded, and two numbers are added for every block; what to_float() gives is rounded
      // twice.
      const double roundings = 2 * static_cast<double>(k) / 32 + 8;
      ASSERT_NEAR(c[r * columns + j], exact, 4 * roundings * kUnit * magnitude) << "row " << r << ", column " << j;
    }
    // Neither the other rows nor the columns beside it change a number.
    float alone = NAN;
    const std::size_t j = (r * 5) % columns;
    dots(x.row(r), x.stride(), 1, weights.bytes.data() + j * weights.stride, weights.stride, 1, k, &alone, 1);
    ASSERT_EQ(alone, c[r * columns + j]) << "row " << r << " alone, column " << j;
  }
}

TEST(BlockKernels, MultiplyAsInDoublePrecision) {
  if (block_kernels() == nullptr) GTEST_SKIP() << "the CPU has no kernels for weights in blocks";
  for (const BlockType& format : kBlockTypes) {
    const bool is_super = ggml_blck_size(format.type) == 256;
    for (const auto& [rows, columns, blocks] :
         {std::tuple{1, 8, 1}, {1, 1, 2}, {2, 13, 5}, {3, 24, 4}, {15, 9, 3}, {16, 40, 6}, {17, 7, 2}, {40, 8, 1}}) {
      const std::size_t k = static_cast<std::size_t>(blocks * ggml_blck_size(format.type));
      if (is_super) {
        check_kernel<RoundedSuperblock>(format, rows, columns, k);
      } else {
        check_kernel<RoundedBlock>(format, rows, columns, k);
      }
    }
  }
}

/// Numbers as ggml decodes them, turned over; what is beyond the last row is zero.
TEST(BlockKernels, PanelsAreGgmlsNumbers) {
  if (block_kernels() == nullptr) GTEST_SKIP() << "the CPU has no kernels for weights in blocks";
  for (const BlockType& type : kBlockTypes) {
    const DenseKernels::PackPanel pack = pack_panel_of(type.type);
    const std::size_t depth = ggml_blck_size(type.type) == 256 ? 512 : 96;
    for (const std::size_t columns : {1UL, 8UL, 13UL, 31UL, 32UL}) {
      const Weights w(type.type, depth, columns, 21);
      std::vector<float> panel(depth * kPanelColumns, NAN);
      pack(w.bytes.data(), w.stride, columns, depth, panel.data());
      for (std::size_t i = 0; i < depth; ++i) {
        for (std::size_t c = 0; c < kPanelColumns; ++c) {
          const float number = c < columns ? w.row(c)[i] : 0.0f;
          // A factor times a number, and the least one added: ggml rounds twice where we do once.
          const float size = *std::ranges::max_element(std::span(w.row(std::min(c, columns - 1)), depth), {},
                                                       [](float x) { return std::abs(x); });
          EXPECT_NEAR(panel[i * kPanelColumns + c], number, 4 * kUnit * std::abs(static_cast<double>(size)))
              << ggml_type_name(type.type) << " " << columns << " " << i << " " << c;
        }
      }
    }
  }
}

/// Every type that ggml has an inner product for, rounded as ggml rounds, on one thread and on three.
TEST(FewRows, AreGgmlsInnerProducts) {
  if (dense_kernels() == nullptr) GTEST_SKIP() << "the CPU has none of our kernels";
  ggml_cpu_init();  // tables of numbers in half precision
  constexpr std::size_t kLength = 256, kColumns = 27, kMostRows = 15;
  const std::vector<float> x = random_numbers(kMostRows * kLength, 11);
  std::size_t tried = 0;
  for (int t = 0; t < GGML_TYPE_COUNT; ++t) {
    const auto type = static_cast<ggml_type>(t);
    const ggml_type_traits_cpu* traits = ggml_get_type_traits_cpu(type);
    if (!ggml_is_quantized(type) || traits->vec_dot == nullptr || kLength % ggml_blck_size(type) != 0) continue;
    const auto round = ggml_get_type_traits_cpu(traits->vec_dot_type)->from_float;
    if (std::strncmp(ggml_type_name(type), "iq", 2) == 0 && std::strncmp(ggml_type_name(type), "iq4", 3) != 0) {
      continue;  // they take seconds to make
    }
    if (round == nullptr || ggml_get_type_traits(type)->to_float == nullptr) continue;
    SCOPED_TRACE(ggml_type_name(type));
    ++tried;
    const Weights weights(type, kLength, kColumns, 5);
    ggml_tensor tensor{};
    tensor.type = type;
    tensor.ne[0] = kLength;
    tensor.ne[1] = kColumns;
    tensor.nb[0] = ggml_type_size(type);
    tensor.nb[1] = weights.stride;
    tensor.data = const_cast<std::byte*>(weights.bytes.data());
    std::vector<std::byte> rounded(kMostRows * ggml_row_size(traits->vec_dot_type, kLength));
    const std::size_t size = rounded.size() / kMostRows;
    for (std::size_t r = 0; r < kMostRows; ++r) round(x.data() + r * kLength, rounded.data() + r * size, kLength);
    FewRows few_rows(*dense_kernels());
    ASSERT_TRUE(few_rows.can_multiply(tensor));
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      for (const std::size_t rows : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{7}, kMostRows}) {
        std::vector<float> c(rows * kColumns, NAN);
        few_rows.multiply(tensor, x.data(), kLength, rows, c.data(), pool);
        for (std::size_t r = 0; r < rows; ++r) {
          for (std::size_t j = 0; j < kColumns; ++j) {
            float ggmls = NAN;
            traits->vec_dot(kLength, &ggmls, 0, weights.bytes.data() + j * weights.stride, 0, rounded.data() + r * size,
                            0, 1);
            double magnitude = 0;
            for (std::size_t i = 0; i < kLength; ++i) {
              magnitude += std::abs(static_cast<double>(weights.row(j)[i]) * x[r * kLength + i]);
            }
            // Where ours rounds nothing (Q8_0 with wide registers), by half a step of 8 bits in every number of a row.
            const bool rounds = block_kernels() != nullptr && dense_kernels()->dots_q8_0 == nullptr;
            const double bound = rounds || type != GGML_TYPE_Q8_0 ? 64 * kUnit : 1.0 / 32;
            ASSERT_NEAR(c[r * kColumns + j], ggmls, bound * magnitude)
                << rows << " rows, row " << r << ", column " << j << ", threads " << threads;
          }
        }
      }
    }
  }
  EXPECT_GE(tried, 12u);
}

}  // namespace
}  // namespace coala
