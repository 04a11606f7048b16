#pragma once

#include <span>

#include "core/matrix.h"
#include "solver/design_rows.h"
#include "solver/loss.h"

namespace coala {

/// Objective of a solution and a lower bound of the optimum, in double, from the data alone.
struct Certificate {
  double objective = 0;
  double dual_objective = 0;
  double relative_gap = 0;
};

/// Certifies weights of the gated program (docs/math.md, "certificate"). Shares nothing with the solvers: plain loops
/// in double over features, gates and targets; the gate pattern and all predictions are computed anew, the dual point
/// is made from them (the bias minimised over exactly first, so that the point is feasible for a free bias).
/// @param gates  [P, d], a zero row is the linear group
/// @param w      [P, d]
/// @param beta   weight of the group norms (>= 0)
/// @param group_weights  [P] factors of beta, > 0; empty: 1 each
Certificate certify_gated(const DesignRows<float>& rows, const Targets& targets, MatrixView<const float> gates,
                          MatrixView<const float> w, double bias, bool free_bias, double beta,
                          std::span<const double> group_weights = {});

/// The same for the linear model with the penalty lambda/2 ||w||^2, lambda > 0.
Certificate certify_linear(const DesignRows<float>& rows, const Targets& targets, std::span<const float> w, double bias,
                           bool free_bias, double lambda);

}  // namespace coala
