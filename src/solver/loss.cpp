#include "solver/loss.h"

#include <cmath>
#include <limits>

namespace coala {
namespace {

/// q log q with its limit 0 at 0; rounding may bring q a little below 0.
double x_log_x(double q) noexcept {
  return q > 0 ? q * std::log(q) : 0.0;
}

}  // namespace

std::string_view loss_name(Loss loss) noexcept {
  switch (loss) {
    case Loss::Squared:
      return "squared";
    case Loss::Logistic:
      return "logistic";
    case Loss::BradleyTerry:
      return "bt";
  }
  return "";
}

double softplus(double x) noexcept {
  return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

double sigmoid(double x) noexcept {
  if (x >= 0) return 1 / (1 + std::exp(-x));
  const double e = std::exp(x);
  return e / (1 + e);
}

double loss_value(const Targets& targets, std::size_t i, double z) noexcept {
  const double y = targets.labels[i];
  const double weight = targets.weights[i];
  if (targets.loss == Loss::Squared) return weight * 0.5 * (z - y) * (z - y);
  return weight * softplus(targets.margin(i) - y * z);
}

double loss_derivative(const Targets& targets, std::size_t i, double z) noexcept {
  const double y = targets.labels[i];
  const double weight = targets.weights[i];
  if (targets.loss == Loss::Squared) return weight * (z - y);
  return -weight * y * sigmoid(targets.margin(i) - y * z);
}

double loss_curvature(const Targets& targets, std::size_t i, double z) noexcept {
  const double weight = targets.weights[i];
  if (targets.loss == Loss::Squared) return weight;
  const double q = sigmoid(targets.margin(i) - targets.labels[i] * z);
  return weight * q * (1 - q);
}

double loss_curvature_bound(Loss loss) noexcept {
  return loss == Loss::Squared ? 1.0 : 0.25;
}

double loss_conjugate(const Targets& targets, std::size_t i, double s) noexcept {
  const double weight = targets.weights[i];
  if (weight == 0) return s == 0 ? 0.0 : std::numeric_limits<double>::infinity();
  const double y = targets.labels[i];
  if (targets.loss == Loss::Squared) return s * s / (2 * weight) + s * y;
  // With u = y z - margin: s z - softplus(-u) has its supremum at q = -y s / weight in [0, 1].
  const double q = -y * s / weight;
  if (q < 0 || q > 1) return std::numeric_limits<double>::infinity();
  return weight * (x_log_x(q) + x_log_x(1 - q) - q * targets.margin(i));
}

}  // namespace coala
