// From how many rows on are our inner products with weights in blocks faster than ggml's (which lm/few_rows.cpp helps
// by fetching rows ahead)? One thread, weights that do not fit into the caches, both in turn, the best of five. Prints
// billions of products a second: ggml's, ours, and ours over ggml's, by type and number of rows.
// Usage: bench_few_rows

#include <fmt/format.h>
#include <ggml-cpu.h>
#include <ggml.h>

#include <algorithm>
#include <array>
#include <vector>

#include "core/random.h"
#include "core/resources.h"
#include "linalg/block_kernels.h"
#include "lm/block_types.h"

namespace {

using namespace coala;

constexpr std::int64_t kLength = 1536;
constexpr std::size_t kColumns = 20000;
constexpr std::array<std::size_t, 5> kRows{1, 2, 3, 4, 15};

/// The same numbers for each column: what they are does not matter for the time.
std::vector<std::byte> weights_of(ggml_type type) {
  Random random(1);
  std::vector<float> numbers(kLength);
  for (float& number : numbers) number = static_cast<float>(random.normal());
  const std::size_t size = ggml_row_size(type, kLength);
  std::vector<std::byte> bytes(size * kColumns);
  ggml_quantize_chunk(type, numbers.data(), bytes.data(), 0, 1, kLength, nullptr);
  for (std::size_t j = 1; j < kColumns; ++j) std::copy_n(bytes.data(), size, bytes.data() + j * size);
  return bytes;
}

template <class Work>
double seconds_of(const Work& work) {
  const double begun = monotonic_s();
  work();
  return monotonic_s() - begun;
}

}  // namespace

int main() {
  if (block_kernels() == nullptr) {
    fmt::print(stderr, "the CPU has no kernels for weights in blocks\n");
    return 1;
  }
  ggml_cpu_init();
  fmt::print("{:8}", "rows");
  for (const std::size_t rows : kRows) fmt::print("{:^20}", rows);
  fmt::print("\n");
  for (const BlockType& each : kBlockTypes) {
    const ggml_type_traits_cpu* traits = ggml_get_type_traits_cpu(each.type);
    const std::size_t stride = ggml_row_size(each.type, kLength);
    const std::vector<std::byte> weights = weights_of(each.type);
    const std::vector<std::byte> theirs(kRows.back() * ggml_row_size(traits->vec_dot_type, kLength));
    const std::size_t their_row = theirs.size() / kRows.back();
    const std::size_t our_row =
        std::max(kLength / 32 * sizeof(RoundedBlock), kLength / 256 * sizeof(RoundedSuperblock));
    const std::vector<std::byte> ours(kRows.back() * our_row);
    std::vector<float> c(kRows.back() * kColumns);
    fmt::print("{:8}", ggml_type_name(each.type));
    for (const std::size_t rows : kRows) {
      double best_of_ggml = 1e9;
      double best = 1e9;
      for (int round = 0; round < 5; ++round) {
        best_of_ggml =
            std::min(best_of_ggml, seconds_of([&] {
                       for (std::size_t j = 0; j < kColumns; ++j) {
                         const std::byte* const ahead = weights.data() + (j + 4) * stride;
                         for (std::size_t i = 0; i < stride; i += 64) __builtin_prefetch(ahead + i);
                         for (std::size_t r = 0; r < rows; ++r) {
                           traits->vec_dot(kLength, c.data() + r * kColumns + j, 0, weights.data() + j * stride, 0,
                                           theirs.data() + r * their_row, 0, 1);
                         }
                       }
                     }));
        best = std::min(best, seconds_of([&] {
                          block_kernels()->dots_of(each.format)(ours.data(), our_row, rows, weights.data(), stride,
                                                                kColumns, kLength, c.data(), kColumns);
                        }));
      }
      const double products = 1e-9 * static_cast<double>(rows * kColumns) * kLength;
      fmt::print("{:5.1f} {:5.1f} ({:4.2f})  ", products / best_of_ggml, products / best, best_of_ggml / best);
    }
    fmt::print("\n");
  }
}
