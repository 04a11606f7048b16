#pragma once

#include "solver/gated.h"

namespace coala {

/// sum_i weight_i x_i x_i' over the rows (for pairs of the differences), in double, [d, d].
Matrix<double> weighted_gram(const DesignRows<float>& rows, std::span<const float> weights, ThreadPool& pool);

/// The linear model min_{w, b} sum_i loss_i(x_i'w + b) + lambda/2 ||w||^2, by Newton's method; the Newton systems are
/// solved by conjugate gradients preconditioned with a Cholesky factor of c X'X + lambda I, c the mean curvature of
/// the loss. With the logistic loss this is ridge logistic regression, the baseline of every run.
class LinearSolver {
 public:
  /// @param f     an operator with one gate, the zero gate
  /// @param gram  weighted_gram of the rows (weights may differ from the targets': it is only a preconditioner)
  LinearSolver(GatedOperator<float>& f, const Targets& targets, const Matrix<double>& gram, bool bias);

  /// Solves at `lambda` > 0 from the current weights until the gradient is `tolerance` times the one at zero. After the
  /// deadline it ends the step that it is at, which is at least one.
  SolveInfo solve(double lambda, double tolerance, const Deadline& deadline = {});
  const GatedWeights& weights() const { return current_; }

 private:
  GatedOperator<float>* f_;
  const Targets* targets_;
  const Matrix<double>* gram_;
  bool bias_;
  GatedWeights current_;
  double gradient_at_zero_ = 0;
};

}  // namespace coala
