#include "tally/published_descent.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>

namespace coala {
namespace {

constexpr double kStep = 0.1;
constexpr int kSteps = 50;
constexpr double kTolerance = 1e-9;   // of gradient, step and value
constexpr double kLeastBend = 1e-10;  // of a pair that is kept

using Vector = std::vector<double>;

double dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

double largest(const Vector& a) {
  double result = 0;
  for (const double value : a) result = std::max(result, std::abs(value));
  return result;
}

void add(Vector& to, double factor, const Vector& what) {
  for (std::size_t j = 0; j < to.size(); ++j) to[j] += factor * what[j];
}

/// A step and by how much the gradient changed along it.
struct Pair {
  Vector step, change;
  double inverse;  ///< of their product
};

/// The two loops of Nocedal (1980).
Vector direction(const Vector& gradient, const std::deque<Pair>& pairs, double scale) {
  Vector q(gradient.size());
  add(q, -1, gradient);
  std::vector<double> factors(pairs.size());
  for (std::size_t k = pairs.size(); k-- > 0;) {
    factors[k] = dot(pairs[k].step, q) * pairs[k].inverse;
    add(q, -factors[k], pairs[k].change);
  }
  for (double& value : q) value *= scale;
  for (std::size_t k = 0; k < pairs.size(); ++k) {
    const double factor = dot(pairs[k].change, q) * pairs[k].inverse;
    add(q, factors[k] - factor, pairs[k].step);
  }
  return q;
}

}  // namespace

std::vector<double> published_descent(const Objective& objective, std::vector<double> x) {
  Vector gradient(x.size());
  double value = objective(x, gradient);
  if (largest(gradient) <= kTolerance) return x;
  std::deque<Pair> pairs;
  double scale = 1;
  Vector before;
  Vector step;
  for (int k = 0; k < kSteps; ++k) {
    if (k > 0) {
      Vector change = gradient;
      add(change, -1, before);
      const double bend = dot(change, step);
      if (bend > kLeastBend) {
        scale = bend / dot(change, change);
        pairs.push_back({step, std::move(change), 1 / bend});
      }
    }
    step = direction(gradient, pairs, scale);
    before = gradient;
    double size = kStep;
    if (k == 0) {
      double sum = 0;
      for (const double slope : gradient) sum += std::abs(slope);
      size *= std::min(1.0, 1 / sum);
    }
    if (dot(gradient, step) > -kTolerance) break;
    for (double& part : step) part *= size;
    add(x, 1, step);
    if (k + 1 == kSteps) break;
    const double last = value;
    value = objective(x, gradient);
    if (largest(gradient) <= kTolerance || largest(step) <= kTolerance || std::abs(value - last) < kTolerance) break;
  }
  return x;
}

}  // namespace coala
