#include "solver/certificate.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "linalg/blas.h"

namespace coala {
namespace {

/// In double; four sums, since one would wait for itself.
double product(std::span<const float> a, std::span<const float> b) {
  double sums[4] = {};
  std::size_t j = 0;
  for (; j + 4 <= a.size(); j += 4) {
    for (std::size_t k = 0; k < 4; ++k) sums[k] += static_cast<double>(a[j + k]) * static_cast<double>(b[j + k]);
  }
  for (; j < a.size(); ++j) sums[0] += static_cast<double>(a[j]) * static_cast<double>(b[j]);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

double sum_of_losses(const Targets& targets, const std::vector<double>& z, double bias) {
  double sum = 0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    if (targets.weights[i] > 0) sum += loss_value(targets, i, z[i] + bias);
  }
  return sum;
}

/// A zero of the slope of the loss in the bias, by bisection: slow, simple, and not the solver's way.
double best_bias(const Targets& targets, const std::vector<double>& z) {
  const auto slope = [&](double bias) {
    double sum = 0;
    for (std::size_t i = 0; i < z.size(); ++i) {
      if (targets.weights[i] > 0) sum += loss_derivative(targets, i, z[i] + bias);
    }
    return sum;
  };
  double low = -1;
  double high = 1;
  constexpr double kFar = 1e30;  // only labels that are all alike go on for ever
  while (slope(low) > 0 && low > -kFar) low *= 2;
  while (slope(high) < 0 && high < kFar) high *= 2;
  for (int k = 0; k < 200 && high - low > 1e-15 * std::max(std::abs(low), std::abs(high)); ++k) {
    const double middle = (low + high) / 2;
    (slope(middle) > 0 ? high : low) = middle;
  }
  return (low + high) / 2;
}

/// -sum conjugate(theta): theta as it is, as the dual of a ridge term needs it.
double dual_at_one(const Targets& targets, const std::vector<double>& theta) {
  double value = 0;
  for (std::size_t i = 0; i < theta.size(); ++i) {
    if (targets.weights[i] > 0) value -= loss_conjugate(targets, i, theta[i]);
  }
  return value;
}

/// Largest value over t in [0, limit] of -sum conjugate(t theta): closed form for the squared loss; the others take
/// the largest t of [0, min(1, limit)].
double best_dual(const Targets& targets, const std::vector<double>& theta, double limit) {
  double t = std::min(1.0, limit);
  if (targets.function().is_quadratic()) {
    double linear = 0;
    double square = 0;
    for (std::size_t i = 0; i < theta.size(); ++i) {
      if (targets.weights[i] <= 0) continue;
      linear += theta[i] * targets.labels[i];
      square += theta[i] * theta[i] / targets.weights[i];
    }
    t = square > 0 ? std::clamp(-linear / square, 0.0, limit) : 0.0;
  }
  std::vector<double> scaled = theta;
  for (double& value : scaled) value *= t;
  return dual_at_one(targets, scaled);
}

double gap(double objective, double dual) {
  const double size = std::max(std::abs(objective), std::abs(dual));
  return size > 0 ? (objective - dual) / size : 0.0;
}

std::vector<double> derivatives(const Targets& targets, const std::vector<double>& z, double bias) {
  std::vector<double> theta(z.size());
  for (std::size_t i = 0; i < z.size(); ++i) {
    theta[i] = targets.weights[i] > 0 ? loss_derivative(targets, i, z[i] + bias) : 0.0;
  }
  return theta;
}

}  // namespace

Certificate certify_gated(const DesignRows<float>& rows, const Targets& targets, MatrixView<const float> gates,
                          MatrixView<const float> w, double bias, bool free_bias, double beta,
                          std::span<const double> group_weights) {
  const std::size_t d = rows.dimension();
  const auto weight = [&](std::size_t p) { return group_weights.empty() ? 1.0 : group_weights[p]; };
  std::vector<double> z(rows.rows());
  std::vector<bool> open;  // of every response and gate, in the order of for_each
  open.reserve(rows.rows() * gates.rows * (rows.pairwise() ? 2 : 1));
  rows.for_each([&](std::size_t i, std::span<const float> x, double sign) {
    for (std::size_t p = 0; p < gates.rows; ++p) {
      open.push_back(product(gates.row(p), x) >= 0);
      if (open.back()) z[i] += sign * product(w.row(p), x);
    }
  });
  double penalty = 0;
  for (std::size_t p = 0; p < w.rows; ++p) penalty += weight(p) * std::sqrt(product(w.row(p), w.row(p)));

  Certificate result;
  result.objective = sum_of_losses(targets, z, bias) + beta * penalty;

  const std::vector<double> theta = derivatives(targets, z, free_bias ? best_bias(targets, z) : bias);
  Matrix<double> gradient(gates.rows, d);
  auto is_open = open.begin();
  rows.for_each([&](std::size_t i, std::span<const float> x, double sign) {
    for (std::size_t p = 0; p < gates.rows; ++p) {
      if (!*is_open++) continue;
      for (std::size_t j = 0; j < d; ++j) gradient(p, j) += sign * theta[i] * static_cast<double>(x[j]);
    }
  });
  double largest = 0;
  for (std::size_t p = 0; p < gates.rows; ++p) largest = std::max(largest, norm(gradient.row(p)) / weight(p));
  result.dual_objective = best_dual(targets, theta, largest > 0 ? beta / largest : HUGE_VAL);
  result.relative_gap = gap(result.objective, result.dual_objective);
  return result;
}

Certificate certify_linear(const DesignRows<float>& rows, const Targets& targets, std::span<const float> w, double bias,
                           bool free_bias, double lambda) {
  std::vector<double> z(rows.rows());
  rows.for_each([&](std::size_t i, std::span<const float> x, double sign) { z[i] += sign * product(w, x); });
  Certificate result;
  result.objective = sum_of_losses(targets, z, bias) + 0.5 * lambda * product(w, w);

  const std::vector<double> theta = derivatives(targets, z, free_bias ? best_bias(targets, z) : bias);
  std::vector<double> gradient(w.size());
  rows.for_each([&](std::size_t i, std::span<const float> x, double sign) {
    for (std::size_t j = 0; j < w.size(); ++j) gradient[j] += sign * theta[i] * static_cast<double>(x[j]);
  });
  const double size = norm(gradient);
  result.dual_objective = dual_at_one(targets, theta) - size * size / (2 * lambda);
  result.relative_gap = gap(result.objective, result.dual_objective);
  return result;
}

}  // namespace coala
