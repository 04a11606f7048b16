#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/deadline.h"
#include "core/matrix.h"
#include "linalg/backend.h"
#include "solver/backend_metric.h"
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
  bool bias = true;                                  ///< a free, unpenalised bias; without meaning for pairs
  int max_iterations = 3000;                         ///< proximal gradient iterations
  std::vector<double> group_weights{};               ///< [P] c_p > 0, factors of the groups' penalties; empty: 1 each
  Backend* backend = nullptr;                        ///< where it is computed, outlives the operator; null: on the CPU
  std::shared_ptr<const LoadedFeatures> features{};  ///< that the backend has, see GatedOperator::on()
};

/// The gated ReLU program (docs/math.md, program (G); Mishkin, Sahiner & Pilanci 2022)
///   min_{w, b} sum_i loss_i((F w)_i + b) + beta sum_p c_p ||w_p||
/// by accelerated proximal gradient with backtracking and adaptive restart (O'Donoghue & Candes 2015), its steps scaled
/// by a metric, stopped by the duality gap. An iteration is one pass over X. One object serves a whole regularisation
/// path: successive calls start from the last solution.
///
/// All vectors are in the memory of a backend (linalg/backend.h). Of a device the host reads a few sums after each
/// iteration, which tell it the length of the next step, and at a check of the gap, which it computes in double, the
/// predictions.
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

  /// Into the metric's basis, and back.
  void turn(const Buffer& from, Buffer& to);
  void turn_back(const Buffer& from, Buffer& to);
  double group_weight(std::size_t p) const;
  double penalty(const Buffer& w);              ///< sum_p c_p ||w_p||
  double largest_norm(const Buffer& gradient);  ///< max_p ||gradient_p|| / c_p
  double bias_for(std::span<const float> z, double start) const;
  LossData losses() const;
  /// gradient_ := F' loss'(z + bias), in the basis of the features, and theta_ := the derivatives; `r` receives them
  /// too. One pass.
  void gradient_at(std::span<const float> z, double bias, Buffer& r);
  /// Gap at the current point with its bias at the optimum; leaves gradient and derivatives there in `at`. One pass.
  double evaluate_gap(double beta, Point& at, SolveInfo& info);
  /// Gap of a point whose loss, derivatives and gradient are known, at its best bias. No pass.
  /// @param theta  its derivatives, or empty: they are read
  double gap_at(double beta, const Point& at, std::span<const float> theta, SolveInfo& info);
  void find_scale();
  /// Takes a curvature, and scales the bias to it.
  void set_scale(double curvature);
  /// next := prox(y - gradient / curvature) in the metric, and one pass: predictions of `next`, and derivatives,
  /// gradient and loss at next + factor (next - current), with the momentum as factor, or 0 where it points uphill.
  BackendSums step(const Point& y, double beta, double momentum, Point& next, Point& ahead);

  GatedOperator<float>* f_;
  const Targets* targets_;
  const GatedMetric* metric_;
  GatedSettings settings_;
  std::unique_ptr<Backend> cpu_;  ///< when no other is given
  Backend* backend_;
  PassRows* rows_;
  BackendMetric turned_;
  Buffer labels_, weights_, margins_;
  GatedWeights current_;
  Buffer rotated_;            ///< current_.w in the metric's basis
  Buffer z_;                  ///< current_.z
  Buffer direction_;          ///< [P, d] weights of a pass, in the basis of the features
  Buffer gradient_;           ///< [P, d] of a pass
  std::vector<float> theta_;  ///< [n] derivatives on the host
  double bias_scale_ = 1;     ///< the metric's entry for the bias
  double curvature_ = 0;      ///< running estimate of the largest eigenvalue of F' diag(loss'') F in the metric
};

}  // namespace coala
