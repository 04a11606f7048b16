#include "solver/prediction.h"

#include <algorithm>
#include <cmath>

namespace coala {

double optimal_bias(const Targets& targets, std::span<const float> z, double start) {
  if (targets.loss == Loss::Squared) {
    double sum = 0;
    double weight = 0;
    for (std::size_t i = 0; i < z.size(); ++i) {
      sum += static_cast<double>(targets.weights[i]) * (static_cast<double>(targets.labels[i]) - z[i]);
      weight += static_cast<double>(targets.weights[i]);
    }
    return weight > 0 ? sum / weight : 0.0;
  }
  // All labels alike: the loss falls for ever, there is no minimiser; the start is as good as any other.
  bool positive = false;
  bool negative = false;
  for (std::size_t i = 0; i < z.size(); ++i) {
    if (targets.weights[i] > 0) (targets.labels[i] > 0 ? positive : negative) = true;
  }
  if (!positive || !negative) return start;

  constexpr int kMostSteps = 60;
  double bias = start;
  double low = -HUGE_VAL;
  double high = HUGE_VAL;
  for (int step = 0; step < kMostSteps; ++step) {
    double slope = 0;
    double curvature = 0;
    double scale = 0;
    for (std::size_t i = 0; i < z.size(); ++i) {
      const double at = static_cast<double>(z[i]) + bias;
      const double derivative = loss_derivative(targets, i, at);
      slope += derivative;
      scale += std::abs(derivative);
      curvature += loss_curvature(targets, i, at);
    }
    if (std::abs(slope) <= 1e-13 * scale) break;
    (slope > 0 ? high : low) = bias;
    // Newton, but never out of the bracket: far out the curvature vanishes and the step would explode.
    double next = curvature > 0 ? bias - slope / curvature : (slope > 0 ? -HUGE_VAL : HUGE_VAL);
    next = std::clamp(next, bias - 8, bias + 8);
    if (!(next > low)) next = (low + bias) / 2;
    if (!(next < high)) next = (high + bias) / 2;
    if (next == bias) break;
    bias = next;
  }
  return bias;
}

double total_loss(const Targets& targets, std::span<const float> z, double bias) {
  double sum = 0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    if (targets.weights[i] > 0) sum += loss_value(targets, i, static_cast<double>(z[i]) + bias);
  }
  return sum;
}

void loss_derivatives(const Targets& targets, std::span<const float> z, double bias, std::span<float> r) {
  for (std::size_t i = 0; i < z.size(); ++i) {
    r[i] = targets.weights[i] > 0 ? static_cast<float>(loss_derivative(targets, i, static_cast<double>(z[i]) + bias))
                                  : 0.0f;
  }
}

double dual_value(const Targets& targets, std::span<const float> theta, double limit) {
  if (targets.loss != Loss::Squared) return dual_value_at(targets, theta, std::min(1.0, limit));
  double squares = 0;
  double product = 0;
  for (std::size_t i = 0; i < theta.size(); ++i) {
    if (targets.weights[i] <= 0) continue;
    squares += static_cast<double>(theta[i]) * theta[i] / targets.weights[i];
    product += static_cast<double>(theta[i]) * targets.labels[i];
  }
  const double t = squares > 0 ? std::clamp(-product / squares, 0.0, limit) : 0.0;
  return -0.5 * t * t * squares - t * product;
}

double dual_value_at(const Targets& targets, std::span<const float> theta, double t) {
  double sum = 0;
  for (std::size_t i = 0; i < theta.size(); ++i) {
    if (targets.weights[i] <= 0) continue;
    double s = t * theta[i];
    if (targets.loss != Loss::Squared) {
      // Rounding to float may leave the domain by half a unit in the last place: pull it back.
      const double label = targets.labels[i];
      s = -label * std::clamp(-label * s, 0.0, static_cast<double>(targets.weights[i]));
    }
    sum -= loss_conjugate(targets, i, s);
  }
  return sum;
}

}  // namespace coala
