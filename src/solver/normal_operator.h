#pragma once

#include <cstdint>
#include <vector>

#include "core/deadline.h"
#include "core/matrix.h"
#include "core/parallel.h"
#include "solver/gated_operator.h"

namespace coala {

/// How F'F is applied.
enum class NormalMethod {
  Cheapest,  ///< what the cost model says (solver/gram_cost.h)
  Passes,    ///< a pass over X each time
  Gram,      ///< by the blocks X' D_p D_q X, made once: P^2 d^2 multiplications and additions, whatever n
};

/// F'F of pointwise rows as an operator on weights [P, d], for methods that apply it many times. Results are the same
/// bits whatever the number of threads.
template <class T>
class NormalOperator {
 public:
  /// @param f             outlives the object; pointwise rows in one segment
  /// @param pattern       its gate pattern D [n, P]; not needed afterwards
  /// @param applications  how many to expect
  /// @param deadline      of what is made before the first
  /// @throws Late
  NormalOperator(GatedOperator<T>& f, const Matrix<std::uint8_t>& pattern, std::size_t applications,
                 NormalMethod method = NormalMethod::Cheapest, const Deadline& deadline = {});

  /// out := F'F w, both [P, d]
  void apply(MatrixView<const T> w, MatrixView<T> out);

  std::size_t groups() const { return f_->groups(); }
  std::size_t dimension() const { return f_->dimension(); }
  bool uses_gram() const { return !blocks_.empty(); }
  /// Passes over X and operations beyond those that the gated operator counts: of making and applying the blocks.
  std::uint64_t passes() const { return passes_; }
  double flops() const { return flops_; }

 private:
  struct Pair {
    std::size_t p, q;  ///< p <= q
  };
  void form(const Matrix<std::uint8_t>& pattern, const Deadline& deadline);
  void apply_blocks(MatrixView<const T> w, MatrixView<T> out);

  GatedOperator<T>* f_;
  std::vector<Pair> pairs_;
  std::vector<Matrix<T>> blocks_;  ///< X' D_p D_q X / unit^2 [d, d] of each pair
  T unit_ = 1;                     ///< a power of two, so that no square leaves the range of numbers
  std::uint64_t passes_ = 0;
  double flops_ = 0;
};

}  // namespace coala
