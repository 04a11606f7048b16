#include "lm/few_rows.h"

#include <ggml.h>

#include <algorithm>
#include <cstring>

#include "linalg/block_kernels.h"
#include "lm/block_types.h"
#include "lm/cpu_backend.h"

namespace coala {
namespace {

/// A thread's piece of the columns is a multiple of this; no result depends on it.
constexpr std::size_t kGrain = 48;

/// ggml's inner product of weights in blocks with a row in the numbers that belong to them; nullptr: there is none.
const ggml_type_traits_cpu* quantised_dots(ggml_type type) {
  const ggml_type_traits_cpu* traits = cpu_backend().type_traits(type);
  const bool usable = ggml_is_quantized(type) && traits->vec_dot != nullptr &&
                      cpu_backend().type_traits(traits->vec_dot_type)->from_float != nullptr;
  return usable ? traits : nullptr;
}

const BlockType* block_type_for(ggml_type type, std::size_t rows) {
  const BlockType* const found = block_type_of(type);
  return found != nullptr && rows >= found->fewest_rows ? found : nullptr;
}

/// Bytes of a row of k numbers as our kernels take it.
std::size_t rounded_size(ggml_type rounded_type, std::size_t k) {
  return rounded_type == GGML_TYPE_Q8_K ? k / 256 * sizeof(RoundedSuperblock) : k / 32 * sizeof(RoundedBlock);
}

/// ggml's blocks are a factor in half precision (Q8_1: and the sum) before 32 numbers; Q8_K is what our kernels take.
void convert_rounded(ggml_type rounded_type, std::size_t k, const std::byte* from, std::byte* to) {
  if (rounded_type == GGML_TYPE_Q8_K) {
    std::memcpy(to, from, rounded_size(rounded_type, k));
    return;
  }
  const bool has_sum = rounded_type == GGML_TYPE_Q8_1;
  const auto half_at = [](const std::byte* at) {
    ggml_fp16_t half;
    std::memcpy(&half, at, sizeof half);
    return ggml_fp16_to_fp32(half);
  };
  for (std::size_t block = 0; block < k / 32; ++block) {
    RoundedBlock rounded;
    rounded.factor = half_at(from);
    std::memcpy(rounded.numbers, from + (has_sum ? 4 : 2), sizeof rounded.numbers);
    int sum = 0;
    for (const std::int8_t number : rounded.numbers) sum += number;
    rounded.sum = has_sum ? half_at(from + 2) : rounded.factor * static_cast<float>(sum);
    std::memcpy(to + block * sizeof rounded, &rounded, sizeof rounded);
    from += ggml_type_size(rounded_type);
  }
}

}  // namespace

DenseKernels::Dots FewRows::kernel_for(const ggml_tensor& weights) const {
  switch (weights.type) {
    case GGML_TYPE_F32:
      return kernels_->dots_f32;
    case GGML_TYPE_F16:
      return kernels_->dots_f16;
    case GGML_TYPE_BF16:
      return kernels_->dots_bf16;
    case GGML_TYPE_Q8_0:
      return kernels_->dots_q8_0;
    default:
      return nullptr;
  }
}

bool FewRows::can_multiply(const ggml_tensor& weights) const {
  return kernel_for(weights) != nullptr || quantised_dots(weights.type) != nullptr;
}

void FewRows::multiply(const ggml_tensor& weights, const float* x, std::size_t stride, std::size_t rows, float* c,
                       ThreadPool& pool) {
  const DenseKernels::Dots dots = kernel_for(weights);
  if (dots == nullptr) {
    multiply_quantised(weights, x, stride, rows, c, pool);
    return;
  }
  const auto columns = static_cast<std::size_t>(weights.ne[1]);
  const auto* w = static_cast<const std::byte*>(weights.data);
  pool.for_chunks(columns, kGrain, [&](int, std::size_t begin, std::size_t end) {
    dots(x, stride, rows, w + begin * weights.nb[1], weights.nb[1], end - begin,
         static_cast<std::size_t>(weights.ne[0]), c + begin, columns);
  });
}

void FewRows::multiply_quantised(const ggml_tensor& weights, const float* x, std::size_t stride, std::size_t rows,
                                 float* c, ThreadPool& pool) {
  const auto k = static_cast<std::size_t>(weights.ne[0]);
  const auto columns = static_cast<std::size_t>(weights.ne[1]);
  const ggml_type_traits_cpu* traits = quantised_dots(weights.type);
  const auto quantise = cpu_backend().type_traits(traits->vec_dot_type)->from_float;
  const std::size_t size = ggml_row_size(traits->vec_dot_type, weights.ne[0]);
  quantised_.resize(std::max(quantised_.size(), rows * size));
  const BlockType* const ours = block_type_for(weights.type, rows);
  const std::size_t rounded_bytes = rounded_size(traits->vec_dot_type, k);
  if (ours != nullptr) rounded_.resize(std::max(rounded_.size(), rows * rounded_bytes));
  constexpr std::size_t kFewNumbers = 8192;  // not worth a second thread
  pool.for_chunks(rows, rows * k < kFewNumbers ? rows : 1, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      std::byte* row = quantised_.data() + r * size;
      quantise(x + r * stride, row, weights.ne[0]);
      if (ours != nullptr) convert_rounded(traits->vec_dot_type, k, row, rounded_.data() + r * rounded_bytes);
    }
  });
  const auto* w = static_cast<const std::byte*>(weights.data);
  pool.for_chunks(columns, kGrain, [&](int, std::size_t begin, std::size_t end) {
    if (ours != nullptr) {
      block_kernels()->dots_of(ours->format)(rounded_.data(), rounded_bytes, rows, w + begin * weights.nb[1],
                                             weights.nb[1], end - begin, k, c + begin, columns);
      return;
    }
    constexpr std::size_t kAhead = 4;  // rows: the hardware does not fetch far enough ahead of one that is read once
    constexpr std::size_t kLine = 64;
    for (std::size_t j = begin; j < end; ++j) {
      const std::byte* const ahead = w + (j + kAhead) * weights.nb[1];
      for (std::size_t line = 0; line < weights.nb[1]; line += kLine) __builtin_prefetch(ahead + line);
      for (std::size_t r = 0; r < rows; ++r) {
        traits->vec_dot(static_cast<int>(k), c + r * columns + j, 0, w + j * weights.nb[1], 0,
                        quantised_.data() + r * size, 0, 1);
      }
    }
  });
}

}  // namespace coala
