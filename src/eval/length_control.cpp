#include "eval/length_control.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>
#include <vector>

#include "solver/loss.h"

namespace coala {
namespace {

struct Symmetric {
  double aa = 0;
  double ab = 0;
  double bb = 0;

  void add(double weight, double a, double b) {
    aa += weight * a * a;
    ab += weight * a * b;
    bb += weight * b * b;
  }
};

}  // namespace

LengthControlled length_controlled_accuracy(std::span<const double> right, std::span<const double> x,
                                            std::span<const std::int64_t> prompts) {
  const std::size_t n = right.size();
  // Pairs whose longer answer was chosen weigh as much, in sum, as the others. Weights that depend on the length alone
  // leave the model's coefficients what they are, and where being right jumps at zero the prediction is the middle.
  const auto longer = static_cast<double>(std::ranges::count_if(x, [](double value) { return value > 0; }));
  const auto shorter = static_cast<double>(std::ranges::count_if(x, [](double value) { return value < 0; }));
  std::vector<double> weight(n, 1.0);
  for (std::size_t i = 0; i < n && longer > 0 && shorter > 0; ++i) {
    if (x[i] != 0) weight[i] = (longer + shorter) / (2 * (x[i] > 0 ? longer : shorter));
  }

  // Newton on a (the logit at equal lengths) and b. Half a right and half a wrong row at x = 0, and a ridge of 1 on b,
  // keep both finite where the outcome is the same everywhere, or is decided by the length.
  double a = 0;
  double b = 0;
  Symmetric curvature;
  constexpr int kMostSteps = 50;
  for (int step = 0; step < kMostSteps; ++step) {
    const double base = sigmoid(a);
    curvature = {base * (1 - base), 0, 1};
    double gradient_a = base - 0.5;
    double gradient_b = b;
    for (std::size_t i = 0; i < n; ++i) {
      const double p = sigmoid(a + b * x[i]);
      gradient_a += weight[i] * (p - right[i]);
      gradient_b += weight[i] * (p - right[i]) * x[i];
      curvature.add(weight[i] * p * (1 - p), 1, x[i]);
    }
    const double determinant = curvature.aa * curvature.bb - curvature.ab * curvature.ab;
    double change_a = (curvature.bb * gradient_a - curvature.ab * gradient_b) / determinant;
    double change_b = (curvature.aa * gradient_b - curvature.ab * gradient_a) / determinant;
    const double largest = std::max(std::abs(change_a), std::abs(change_b));
    if (largest > 1) {  // far from the solution a whole step may overshoot
      change_a /= largest;
      change_b /= largest;
    }
    a -= change_a;
    b -= change_b;
    if (largest < 1e-10) break;
  }

  // Variance of a: curvature^-1 (sum over prompts of the outer products of their gradients) curvature^-1.
  std::unordered_map<std::int64_t, std::array<double, 2>> gradients;
  for (std::size_t i = 0; i < n; ++i) {
    const double residual = weight[i] * (sigmoid(a + b * x[i]) - right[i]);
    auto& gradient = gradients[prompts[i]];
    gradient[0] += residual;
    gradient[1] += residual * x[i];
  }
  const double base = sigmoid(a);
  Symmetric spread{0.25 * (base * base + (1 - base) * (1 - base)), 0, 0};
  for (const auto& [prompt, gradient] : gradients) spread.add(1, gradient[0], gradient[1]);
  const double determinant = curvature.aa * curvature.bb - curvature.ab * curvature.ab;
  const double count = static_cast<double>(gradients.size());
  // Of a row (u, v) of the inverse curvature.
  const auto half_width = [&](double u, double v) {
    const double variance =
        (u * u * spread.aa + 2 * u * v * spread.ab + v * v * spread.bb) * (count > 1 ? count / (count - 1) : 1);
    return student_quantile(std::max(1.0, count - 1)) * std::sqrt(variance);
  };
  const double off = -curvature.ab / determinant;
  const double half = half_width(curvature.bb / determinant, off);
  const double half_slope = half_width(off, curvature.aa / determinant);
  return {base, {sigmoid(a - half), sigmoid(a + half)}, b, {b - half_slope, b + half_slope}};
}

}  // namespace coala
