#pragma once

#include <string_view>

#include "coala/api.h"

namespace coala {

/// What is fitted (docs/math.md).
enum class ModelClass {
  Gated,   ///< gated program with a linear group, a path of penalties, the linear model among the candidates
  Linear,  ///< ridge regression on the chosen loss
  Cronos,  ///< the paper's program, settings and early stopping
  Relu,    ///< the paper's program, solved and certified
};

/// The convex loss of a prediction z against a target y (docs/math.md, "losses").
enum class Loss {
  Squared,       ///< 1/2 (z - y)^2, y in {-1, +1}
  Logistic,      ///< log(1 + exp(-(y z - margin))), y in {-1, +1}
  BradleyTerry,  ///< the logistic loss of a pair's score difference: y = +1
};

/// What is done about lengths that predict the preferences.
enum class LengthControl {
  None,
  Covariate,  ///< the length difference is a covariate in training that is dropped when scoring
  Weights,    ///< pairs weigh such that the longer answer is preferred as often as the shorter one
};

/// How a solve ended. None of these is an error: the best iterate is returned with its gap.
enum class SolveStatus { Solved, IterationLimit, TimeLimit, Interrupted, Stalled };

/// "Solved", "IterationLimit", ...
COALA_API std::string_view status_name(SolveStatus status) noexcept;

}  // namespace coala
