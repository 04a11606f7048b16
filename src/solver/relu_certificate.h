#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "core/matrix.h"

namespace coala {

/// A dual point of the convex ReLU program before scaling: theta [n], and per half and gate the multipliers alpha >= 0
/// of the cone constraints, those that are not zero as (row, value); [2P], positive halves first.
struct ReluDual {
  std::vector<double> theta;
  std::vector<std::vector<std::pair<std::size_t, double>>> multipliers;
};

struct ReluCertificate {
  double objective = 0;       ///< of the ReLU network: sums of relu(x'u+) - relu(x'u-), whatever the gates say
  double dual_objective = 0;  ///< a lower bound of the optimum of the program
  double relative_gap = 0;
  double violation = 0;  ///< largest -E_ip x_i'u / (||x_i|| ||u||): rounding, if u is inside the cones
};

/// Certifies a point of program (R) (docs/math.md), in double, from the data alone; shares nothing with the solver.
/// The dual value is that of t (theta, alpha) at the best t which keeps || +-F_p' theta - X' E_p alpha || <= beta; any
/// theta and any alpha >= 0 give a valid bound. Negative multipliers are taken as zero.
/// @param u  [2P, d]
ReluCertificate certify_relu(MatrixView<const float> x, std::span<const float> y, MatrixView<const float> gates,
                             MatrixView<const double> u, const ReluDual& dual, double beta);

}  // namespace coala
