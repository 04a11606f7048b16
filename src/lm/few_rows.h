#pragma once

#include <cstddef>
#include <vector>

#include "core/parallel.h"
#include "linalg/dense_kernels.h"

struct ggml_tensor;

namespace coala {

/// Products of a few rows with a matrix of stored weights, as the tokens of a decode need them. A weight is read from
/// memory once for all rows, and a row's numbers do not depend on the threads.
///
/// Weights of single numbers meet the rows as they are, and those of Q8_0 where registers are wide enough. Others in
/// blocks meet them as in llama.cpp: each row is rounded to 8 bits a number, with a factor for every block. Our inner
/// products (linalg/block_kernels.h) decode a weight once for all rows. Where ggml's are faster they compute: of types
/// that we have none for, and of one row or two with K types. Both are exact within a block, so they differ by the
/// rounding of the sum over blocks. Otherwise a row's numbers do not depend on the number of rows.
class FewRows {
 public:
  explicit FewRows(const DenseKernels& kernels) : kernels_(&kernels) {}

  /// Is there a kernel for these weights [k, columns] (as ggml counts)?
  bool can_multiply(const ggml_tensor& weights) const;

  /// c[rows][columns] = x w'
  /// @param stride  numbers from one row of x to the next
  void multiply(const ggml_tensor& weights, const float* x, std::size_t stride, std::size_t rows, float* c,
                ThreadPool& pool);

 private:
  DenseKernels::Dots kernel_for(const ggml_tensor& weights) const;
  void multiply_quantised(const ggml_tensor& weights, const float* x, std::size_t stride, std::size_t rows, float* c,
                          ThreadPool& pool);

  const DenseKernels* kernels_;
  std::vector<std::byte> quantised_;  ///< rows in the numbers that ggml multiplies a type of weights with
  std::vector<std::byte> rounded_;    ///< the same, as our kernels take them
};

}  // namespace coala
