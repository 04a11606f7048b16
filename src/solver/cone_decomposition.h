#pragma once

#include <vector>

#include "core/matrix.h"
#include "core/parallel.h"
#include "solver/cronos.h"
#include "solver/design_rows.h"

namespace coala {

/// How the weights of one gate were split.
enum class SplitStatus {
  Exact,    ///< both halves inside the cone, or the pair of an always open gate
  NoSplit,  ///< the weights are not a difference of two points of the cone: only if it has no interior
  Failed,   ///< rounding kept the method from an answer; the halves are zero
};

struct ConeDecomposition {
  Matrix<double> u;                 ///< [2P, d], u+ first; score(x) = sum_p relu(x'u+_p) - relu(x'u-_p)
  ReluWeights<double> network;      ///< of u
  std::vector<SplitStatus> status;  ///< [P]
  double gated_norm = 0;            ///< sum_p ||w_p||
  double relu_norm = 0;             ///< sum_p ||u+_p|| + ||u-_p||

  bool exact() const;
};

/// A ReLU network that gives every training row the score of the gated weights (docs/math.md, "cone decomposition"):
/// w_p = u+_p - u-_p with E_p X u+-_p >= 0 and a small ||u+_p|| + ||u-_p||. The gate g = 0 has no such cone; its linear
/// model is relu(w'x) - relu(-w'x), exact everywhere. For pairs the rows are the responses of both sides.
/// @param gates  [P, d];  @param w  [P, d]
ConeDecomposition decompose_into_cones(const DesignRows<float>& rows, MatrixView<const float> gates,
                                       MatrixView<const float> w, ThreadPool& pool);

}  // namespace coala
