#pragma once

#include <span>
#include <vector>

#include "core/deadline.h"
#include "core/matrix.h"
#include "solver/gated_operator.h"
#include "solver/loss.h"
#include "solver/metric.h"
#include "solver/solve_info.h"

namespace coala {

/// Weights of the gated program and what follows from them.
struct GatedWeights {
  Matrix<float> w;  ///< [P, d]
  double bias = 0;
  std::vector<float> z;  ///< [n] predictions F w of all rows, bias not included; rows of weight 0 too
};

struct GatedSettings {
  bool bias = true;                     ///< a free, unpenalised bias; without meaning for pairs
  double tolerance = 1e-4;              ///< relative duality gap at which the solve stops
  int max_iterations = 3000;            ///< proximal gradient iterations
  std::vector<double> group_weights{};  ///< [P] c_p > 0, factors of the groups' penalties; empty: 1 each
};

/// The gated ReLU program (docs/math.md, program (G); Mishkin, Sahiner & Pilanci 2022)
///   min_{w, b} sum_i loss_i((F w)_i + b) + beta sum_p c_p ||w_p||
/// by accelerated proximal gradient with backtracking and adaptive restart (O'Donoghue & Candes 2015), its steps scaled
/// by a metric, stopped by the duality gap. An iteration is one pass over X. One object serves a whole regularisation
/// path: successive calls start from the last solution.
class GatedSolver {
 public:
  /// @param metric  outlives the solver; of the operator's dimension
  GatedSolver(GatedOperator<float>& f, const Targets& targets, const GatedMetric& metric, GatedSettings settings);

  /// The smallest beta at which all weights are zero: max_p ||F_p' loss'(b0)|| / c_p.
  double beta_max();
  /// The smallest beta at which no further group opens beside the current weights: max ||F_p' loss'(F w + b)|| / c_p
  /// over the groups that are zero.
  double opening_beta();
  /// Solves at `beta` from the current weights. After the deadline it makes one more iteration and checks its gap.
  /// @throws Error{BadInput} when the numbers overflow
  SolveInfo solve(double beta, double tolerance, const Deadline& deadline = {});
  const GatedWeights& weights() const { return current_; }
  /// Continues from these weights [P, d] instead of the last solution.
  /// @param curvature  as a solver of a similar problem has found it; 0 when there was none
  void start_from(const Matrix<float>& w, double curvature = 0);
  /// Takes a similar problem's curvature, unless one is known: a few passes are saved.
  void assume_curvature(double curvature);
  /// Largest eigenvalue of F' diag(loss'') F in the metric, as far as the steps have met it; 0 before the first solve.
  double curvature() const { return curvature_; }

 private:
  struct Point;
  struct Sums;

  /// Into the metric's basis, and back.
  void turn(const Matrix<float>& from, Matrix<float>& to) const;
  void turn_back(const Matrix<float>& from, Matrix<float>& to) const;
  double group_weight(std::size_t p) const;
  double penalty(const Matrix<float>& w) const;              ///< sum_p c_p ||w_p||
  double largest_norm(const Matrix<float>& gradient) const;  ///< max_p ||gradient_p|| / c_p
  double bias_for(std::span<const float> z, double start) const;
  Matrix<float> gradient_at(std::span<const float> z, double bias);  ///< [P, d]; one pass
  /// Gap at the current point with its bias at the optimum; leaves gradient and derivatives there in `at`. One pass.
  double evaluate_gap(double beta, Point& at, SolveInfo& info);
  /// Gap of a point whose loss, derivatives and gradient are known, at its best bias. No pass.
  double gap_at(double beta, const Point& at, SolveInfo& info) const;
  void find_scale();
  /// Takes a curvature, and scales the bias to it.
  void set_scale(double curvature);
  /// next := prox(y - gradient / curvature) in the metric.
  void proximal_step(const Point& y, double beta, Matrix<float>& next) const;
  /// One pass: predictions of `next`, and derivatives, gradient and loss at next + factor (next - current).
  Sums pass(const Point& y, double factor, Point& next, Point& ahead);

  GatedOperator<float>* f_;
  const Targets* targets_;
  const GatedMetric* metric_;
  GatedSettings settings_;
  GatedWeights current_;
  Matrix<float> rotated_;  ///< current_.w in the metric's basis
  double bias_scale_ = 1;  ///< the metric's entry for the bias
  double curvature_ = 0;   ///< running estimate of the largest eigenvalue of F' diag(loss'') F in the metric
};

}  // namespace coala
