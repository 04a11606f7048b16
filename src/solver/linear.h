#pragma once

#include <optional>
#include <span>
#include <vector>

#include "solver/gated.h"
#include "solver/moment_spectrum.h"

namespace coala {

/// sum_i weight_i x_i x_i' over the rows (for pairs of the differences), in double, [d, d].
Matrix<double> weighted_gram(const DesignRows<float>& rows, std::span<const float> weights, ThreadPool& pool);

/// The linear model min_{w, b} sum_i loss_i(x_i'w + b) + lambda/2 ||w||^2, by Newton's method; the Newton systems are
/// solved by conjugate gradients, preconditioned with c S + lambda I, c the mean curvature of the loss and S what is
/// known of the rows' second moments: nothing is factorised here, whatever the penalty and the rows. With the logistic
/// loss this is ridge logistic regression, the baseline of every run.
class LinearSolver {
 public:
  /// @param f        an operator with one gate, the zero gate
  /// @param moments  row_moments of these rows or of more (weights may differ: it is only a preconditioner); outlives
  ///                 the solver
  LinearSolver(GatedOperator<float>& f, const Targets& targets, const MomentSpectrum& moments, bool bias);

  /// Solves at `lambda` > 0 from the current weights until the gradient is `tolerance` times the one at zero, or the
  /// relative duality gap is at most `gap` (0: whatever it is). After the deadline it ends the step that it is at,
  /// which is at least one.
  SolveInfo solve(double lambda, double tolerance, const Deadline& deadline = {}, double gap = 0);
  const GatedWeights& weights() const { return current_; }
  /// Continues from these weights [1, d] instead of the last solution.
  void start_from(const Matrix<float>& w);

 private:
  struct Curvature;
  struct Step;

  /// Gradient, objective and bound at the current weights; returns the gradient's norm.
  double evaluate(double lambda, double loss, std::vector<double>& gradient, SolveInfo& info);
  /// Second derivatives of the loss at the current predictions, and what the bias takes from them.
  Curvature curvature();
  /// Solves H step = -gradient to a residual of `target`.
  Step newton_step(double lambda, std::span<const double> gradient, double target, const Deadline& deadline,
                   SolveInfo& info);
  /// v := (c S + lambda I)^-1 v
  void precondition(double lambda, double mean_curvature, std::vector<double>& v);
  /// Goes along the step as far as the objective falls (Armijo); the loss there, nothing when it does not fall.
  std::optional<double> move(double lambda, std::span<const double> gradient, const Step& step, double objective);

  GatedOperator<float>* f_;
  const Targets* targets_;
  const MomentSpectrum* moments_;
  bool bias_;
  GatedWeights current_;
  double gradient_at_zero_ = 0;
};

}  // namespace coala
