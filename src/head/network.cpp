#include "head/network.h"

#include <algorithm>

#include "linalg/blas.h"
#include "solver/gates.h"

namespace coala {

void Network::activations(std::span<const float> x, std::span<double> out) const {
  const std::vector<double> wide(x.begin(), x.end());
  for (std::size_t j = 0; j < neurons(); ++j) {
    if (gated()) {
      out[j] = gate_open(gates.row(j), wide) ? dot(theta1.row(j), wide) : 0.0;
    } else {
      out[j] = std::max(dot(theta1.row(j), wide), 0.0);
    }
  }
}

double Network::score(std::span<const float> x) const {
  std::vector<double> activation(neurons());
  activations(x, activation);
  double sum = static_cast<double>(bias);
  for (std::size_t j = 0; j < neurons(); ++j) sum += static_cast<double>(theta2[j]) * activation[j];
  return sum;
}

}  // namespace coala
