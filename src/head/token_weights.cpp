#include "head/token_weights.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "linalg/blas.h"
#include "linalg/factorisation.h"

namespace coala {
namespace {

/// Coordinates k [r] with k'U'h as near to 1 as can be for the sample's states, and 1 in the mean: so a bias on the
/// vocabulary becomes a part of W, and of the output matrix, which a bias by itself is not.
std::vector<double> constant_direction(const TokenBasis& basis) {
  const std::size_t r = basis.rank();
  const Matrix<float>& states = basis.sample_states;
  Matrix<double> moments(r, r);
  const std::vector<double> mean = mean_state(basis);
  for (std::size_t i = 0; i < states.rows(); ++i) {
    const std::span<const float> row = states.row(i);
    for (std::size_t a = 0; a < r; ++a) {
      const double share = static_cast<double>(row[a]) / static_cast<double>(states.rows());
      for (std::size_t b = 0; b < r; ++b) moments(a, b) += share * static_cast<double>(row[b]);
    }
  }
  double trace = 0;
  for (std::size_t a = 0; a < r; ++a) trace += moments(a, a);
  constexpr double kRidge = 1e-6;  // a sample of fewer tokens than directions still has a solution
  for (std::size_t a = 0; a < r; ++a) moments(a, a) += kRidge * trace / static_cast<double>(r);
  std::vector<double> direction = mean;
  const std::optional<Cholesky> factor = Cholesky::factor(std::move(moments));
  if (!factor) return std::vector<double>(r);
  factor->solve(direction);
  const double at_mean = dot(direction, mean);
  for (double& value : direction) value = at_mean > 0 ? value / at_mean : 0;
  return direction;
}

}  // namespace

double reliability_of(double accuracy, std::size_t prompts) {
  constexpr double kPriorPrompts = 50;
  const auto count = static_cast<double>(prompts);
  return std::max(0.0, (2 * accuracy - 1) * count / (count + kPriorPrompts));
}

double budget_share(double reliability) {
  constexpr double kLeast = 0.25;
  return std::max(kLeast, reliability);
}

double sample_strength(const TokenBasis& basis, std::span<const double> weights) {
  const std::size_t r = basis.rank();
  const std::span<const double> bias = weights.last(r);
  std::vector<double> direction(r);
  std::vector<double> values;
  for (std::size_t i = 0; i < basis.sample_states.rows(); ++i) {
    std::ranges::copy(bias, direction.begin());
    if (weights.size() > r) {
      for (std::size_t a = 0; a < r; ++a) {
        const auto coordinate = static_cast<double>(basis.sample_states(i, a));
        for (std::size_t b = 0; b < r; ++b) direction[b] += coordinate * weights[a * r + b];
      }
    }
    values.push_back(dot(basis.sample_residuals.row(i), direction));
  }
  return std::sqrt(dot(values, values) / static_cast<double>(values.size()));
}

Matrix<float> head_weights(const TokenBasis& basis, std::span<const double> weights, double strength) {
  const std::size_t r = basis.rank();
  const std::vector<double> constant = constant_direction(basis);
  const std::span<const double> bias = weights.last(r);
  std::vector<double> w(weights.begin(), weights.end() - static_cast<std::ptrdiff_t>(r));
  for (std::size_t a = 0; a < r; ++a) {
    for (std::size_t b = 0; b < r; ++b) w[a * r + b] += constant[a] * bias[b];
  }
  std::vector<double> applied = w;
  applied.resize(weights.size());  // no bias beside it
  const double found = sample_strength(basis, applied);
  const double unit = found > 0 ? strength / found : 1;
  Matrix<float> result(r, r);
  for (std::size_t k = 0; k < w.size(); ++k) result.values()[k] = static_cast<float>(unit * w[k]);
  return result;
}

}  // namespace coala
