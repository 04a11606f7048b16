#pragma once

#include <span>
#include <vector>

#include "core/matrix.h"

namespace coala {

/// The two-layer network of a head on transformed features x:
///   score(x) = sum_j theta2_j act_j(theta1_j' x) + bias,
/// act_j(t) = max(t, 0) for a ReLU network, act_j(t) = 1[g_j' x >= 0] t for a gated one (g_j = 0: always open, the
/// linear group).
struct Network {
  Matrix<float> theta1;       ///< [m, d], one neuron per row (the head file stores the transpose)
  Matrix<float> gates;        ///< [m, d] for a gated network, no rows for a ReLU network
  std::vector<float> theta2;  ///< [m]
  float bias = 0;

  std::size_t neurons() const { return theta2.size(); }
  std::size_t dimension() const { return theta1.cols(); }
  bool gated() const { return gates.rows() > 0; }

  /// out_j := act_j(theta1_j' x), in double; x [d], out [m]
  void activations(std::span<const float> x, std::span<double> out) const;
  double score(std::span<const float> x) const;
};

}  // namespace coala
