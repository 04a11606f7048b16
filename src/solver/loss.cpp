#include "solver/loss.h"

#include <cmath>

namespace coala {

const LossFunction& loss_function(Loss loss) {
  using Function = const LossFunction& (*)();
  constexpr std::array<Function, kLosses.size()> kFunctions{squared_loss, logistic_loss, bradley_terry_loss};
  return kFunctions[static_cast<std::size_t>(loss)]();
}

double softplus(double x) noexcept {
  return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

double sigmoid(double x) noexcept {
  if (x >= 0) return 1 / (1 + std::exp(-x));
  const double e = std::exp(x);
  return e / (1 + e);
}

}  // namespace coala
