#pragma once

#include <span>
#include <vector>

#include "core/matrix.h"
#include "solver/gated_operator.h"
#include "solver/loss.h"
#include "solver/solve_info.h"

namespace coala {

/// Weights of the gated program and what follows from them.
struct GatedWeights {
  Matrix<float> w;  ///< [P, d]
  double bias = 0;
  std::vector<float> z;  ///< [n] predictions F w of all rows, bias not included; rows of weight 0 too
};

struct GatedSettings {
  bool bias = true;           ///< a free, unpenalised bias; without meaning for pairs
  double tolerance = 1e-4;    ///< relative duality gap at which the solve stops
  int max_iterations = 3000;  ///< proximal gradient iterations
};

/// The gated ReLU program (docs/math.md, program (G); Mishkin, Sahiner & Pilanci 2022)
///   min_{w, b} sum_i loss_i((F w)_i + b) + beta sum_p ||w_p||
/// by accelerated proximal gradient with backtracking and adaptive restart (O'Donoghue & Candes 2015), stopped by the
/// duality gap. One object serves a whole regularisation path: successive calls start from the last solution.
class GatedSolver {
 public:
  GatedSolver(GatedOperator<float>& f, const Targets& targets, GatedSettings settings);

  /// The smallest beta at which all weights are zero: max_p ||F_p' loss'(b0)||.
  double beta_max();
  /// Solves at `beta` from the current weights.
  /// @throws Error{BadInput} when the numbers overflow
  SolveInfo solve(double beta, double tolerance);
  const GatedWeights& weights() const { return current_; }
  /// Continues from these weights [P, d] instead of the last solution.
  void start_from(const Matrix<float>& w);

 private:
  double bias_for(std::span<const float> z, double start) const;
  double evaluate_gap(double beta, double loss, SolveInfo& info);
  void find_scale();

  GatedOperator<float>* f_;
  const Targets* targets_;
  GatedSettings settings_;
  GatedWeights current_;
  double curvature_ = 0;  ///< running estimate of the largest eigenvalue of F' diag(loss'') F
};

}  // namespace coala
