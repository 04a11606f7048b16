#include "tally/logistic_fit.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "linalg/factorisation.h"
#include "solver/loss.h"

namespace coala {
namespace {

/// The smooth part of the objective. With `shift` [p] in place of targets, -shift'b stands for the sum of t_i z_i.
struct Smooth {
  const Matrix<double>& x;
  std::span<const double> targets;
  std::span<const double> weights;
  std::span<const double> shift;
  double l2;

  double weight(std::size_t i) const { return weights.empty() ? 1.0 : weights[i]; }

  double value(std::span<const double> b) const {
    double sum = 0;
    for (std::size_t j = 0; j < b.size(); ++j) sum += 0.5 * l2 * b[j] * b[j] - (shift.empty() ? 0 : shift[j] * b[j]);
    for (std::size_t i = 0; i < x.rows(); ++i) {
      if (weight(i) == 0) continue;
      const double z = linear(x.row(i), b);
      sum += weight(i) * (targets.empty() ? softplus(z) : targets[i] * softplus(-z) + (1 - targets[i]) * softplus(z));
    }
    return sum;
  }

  void derivatives(std::span<const double> b, std::vector<double>& gradient, Matrix<double>& curvature) const {
    const std::size_t p = b.size();
    gradient.assign(p, 0.0);
    curvature = Matrix<double>(p, p);
    for (std::size_t j = 0; j < p; ++j) {
      gradient[j] = l2 * b[j] - (shift.empty() ? 0 : shift[j]);
      curvature(j, j) = l2;
    }
    for (std::size_t i = 0; i < x.rows(); ++i) {
      if (weight(i) == 0) continue;
      const std::span<const double> row = x.row(i);
      const double probability = sigmoid(linear(row, b));
      const double residual = weight(i) * (probability - (targets.empty() ? 0 : targets[i]));
      const double bend = weight(i) * probability * (1 - probability);
      for (std::size_t j = 0; j < p; ++j) {
        gradient[j] += residual * row[j];
        if (row[j] == 0) continue;
        for (std::size_t k = 0; k <= j; ++k) curvature(j, k) += bend * row[j] * row[k];
      }
    }
    for (std::size_t j = 0; j < p; ++j) {
      for (std::size_t k = 0; k < j; ++k) curvature(k, j) = curvature(j, k);
    }
  }
};

double l1_norm(std::span<const double> b) {
  return std::accumulate(b.begin(), b.end(), 0.0, [](double sum, double value) { return sum + std::abs(value); });
}

/// The minimum of the quadratic model plus l1 |.|_1: at once without that, else coordinate by coordinate.
std::vector<double> model_minimum(std::span<const double> b, std::span<const double> gradient,
                                  const Matrix<double>& curvature, double l1) {
  if (l1 == 0) {
    if (const std::optional<Cholesky> factor = Cholesky::factor(curvature)) {
      std::vector<double> step(gradient.begin(), gradient.end());
      factor->solve(step);
      for (std::size_t j = 0; j < step.size(); ++j) step[j] = b[j] - step[j];
      return step;
    }
  }
  constexpr int kMostSweeps = 10'000;
  const std::size_t p = b.size();
  std::vector<double> at(b.begin(), b.end());
  for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
    double largest = 0;
    for (std::size_t j = 0; j < p; ++j) {
      double slope = gradient[j];
      for (std::size_t k = 0; k < p; ++k) slope += curvature(j, k) * (at[k] - b[k]);
      const double bend = std::max(curvature(j, j), 1e-300);
      const double free = at[j] - slope / bend;
      const double next = std::copysign(std::max(0.0, std::abs(free) - l1 / bend), free);
      largest = std::max(largest, std::abs(next - at[j]));
      at[j] = next;
    }
    if (largest <= 1e-15 * (1 + l1_norm(at))) break;
  }
  return at;
}

std::vector<double> minimise(const Smooth& smooth, std::size_t p, double l1) {
  constexpr int kMostSteps = 200;
  constexpr double kNear = 1e-6;
  constexpr double kFar = 5;  // a longer step leaves the region where the quadratic model says anything
  std::vector<double> b(p, 0.0);
  std::vector<double> gradient;
  Matrix<double> curvature;
  double value = smooth.value(b);
  for (int step = 0; step < kMostSteps; ++step) {
    smooth.derivatives(b, gradient, curvature);
    // A little more than nothing on the diagonal: a model that always wins has no finite coefficient.
    for (std::size_t j = 0; j < p; ++j) curvature(j, j) += 1e-12 * (1 + curvature(j, j));
    const std::vector<double> target = model_minimum(b, gradient, curvature, l1);
    double longest = 0;
    for (std::size_t j = 0; j < p; ++j) longest = std::max(longest, std::abs(target[j] - b[j]));
    if (longest <= 1e-13 * (1 + l1_norm(b))) break;
    if (longest < kNear) {  // the objective's rounding would hide that this is better
      b = target;
      value = smooth.value(b);
      continue;
    }
    double length = std::min(1.0, kFar / longest);
    std::vector<double> next(p);
    double next_value = 0;
    bool lower = false;
    for (int half = 0; half < 40 && !lower; ++half, length /= 2) {
      for (std::size_t j = 0; j < p; ++j) next[j] = b[j] + length * (target[j] - b[j]);
      next_value = smooth.value(next);
      lower = next_value + l1 * l1_norm(next) < value + l1 * l1_norm(b);
    }
    if (!lower) break;  // rounding is all that is left
    b = next;
    value = next_value;
  }
  return b;
}

}  // namespace

double linear(std::span<const double> x, std::span<const double> coefficients) {
  return std::inner_product(x.begin(), x.end(), coefficients.begin(), 0.0);
}

std::vector<double> fit_logistic(const LogisticRows& rows, double l1, double l2) {
  return minimise({rows.x, rows.targets, rows.weights, {}, l2}, rows.x.cols(), l1);
}

std::vector<double> match_sums(const Matrix<double>& x, std::span<const double> sums) {
  return minimise({x, {}, {}, sums, 0}, x.cols(), 0);
}

}  // namespace coala
