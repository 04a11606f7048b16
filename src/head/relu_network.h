#pragma once

#include "head/network.h"
#include "solver/cronos.h"

namespace coala {

/// The ReLU network of a solution of the paper's program, as a head stores it: theta1 transposed, single precision.
template <class T>
Network relu_network(const ReluWeights<T>& weights) {
  Network network;
  network.theta1 = Matrix<float>(weights.theta1.cols(), weights.theta1.rows());
  for (std::size_t j = 0; j < network.theta1.rows(); ++j) {
    for (std::size_t i = 0; i < network.theta1.cols(); ++i) {
      network.theta1(j, i) = static_cast<float>(weights.theta1(i, j));
    }
  }
  network.theta2.assign(weights.theta2.begin(), weights.theta2.end());
  return network;
}

}  // namespace coala
