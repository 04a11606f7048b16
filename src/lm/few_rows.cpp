#include "lm/few_rows.h"

#include <ggml-cpu.h>
#include <ggml.h>

#include <algorithm>

namespace coala {
namespace {

/// A thread's piece of the columns is a multiple of this; no result depends on it.
constexpr std::size_t kGrain = 24;

/// ggml's inner product of weights in blocks with a row in the numbers that belong to them; nullptr: there is none.
const ggml_type_traits_cpu* quantised_dots(ggml_type type) {
  const ggml_type_traits_cpu* traits = ggml_get_type_traits_cpu(type);
  const bool usable = ggml_is_quantized(type) && traits->vec_dot != nullptr &&
                      ggml_get_type_traits_cpu(traits->vec_dot_type)->from_float != nullptr;
  return usable ? traits : nullptr;
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
  const auto quantise = ggml_get_type_traits_cpu(traits->vec_dot_type)->from_float;
  const std::size_t size = ggml_row_size(traits->vec_dot_type, weights.ne[0]);
  quantised_.resize(std::max(quantised_.size(), rows * size));
  constexpr std::size_t kFewNumbers = 8192;  // not worth a second thread
  pool.for_chunks(rows, rows * k < kFewNumbers ? rows : 1, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) quantise(x + r * stride, quantised_.data() + r * size, weights.ne[0]);
  });
  const auto* w = static_cast<const std::byte*>(weights.data);
  pool.for_chunks(columns, kGrain, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t j = begin; j < end; ++j) {
      for (std::size_t r = 0; r < rows; ++r) {
        traits->vec_dot(static_cast<int>(k), c + r * columns + j, 0, w + j * weights.nb[1], 0,
                        quantised_.data() + r * size, 0, 1);
      }
    }
  });
}

}  // namespace coala
