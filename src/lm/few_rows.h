#pragma once

#include <cstddef>
#include <vector>

#include "core/parallel.h"
#include "linalg/dense_kernels.h"

struct ggml_tensor;

namespace coala {

/// Products of a few rows with a matrix of stored weights, as the tokens of a decode need them. A weight is read from
/// memory once for all rows, and a row's numbers do not depend on the other rows or on the threads.
///
/// Weights of single numbers meet the rows as they are. Those in blocks meet them as in llama.cpp: each row is rounded
/// to 8 bits a number, with a factor for every block, and the inner product is ggml's own. (Of Q8_0 our kernel rounds
/// nothing; there is one where it is as fast.)
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
  std::vector<std::byte> quantised_;  ///< rows in the numbers that a type of weights is multiplied with
};

}  // namespace coala
