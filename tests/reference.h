#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "core/matrix.h"
#include "core/random.h"
#include "solver/design_rows.h"
#include "solver/linear.h"
#include "solver/loss.h"
#include "solver/metric.h"

/// Slow versions in double of what the solver layer computes, written apart from it, and small random problems.
namespace coala::test {

/// |fl(sum) - sum| <= rounding_bound(k) * sum |terms| for k roundings in any order (Higham 2002, section 3.1).
inline double rounding_bound(std::size_t k, double u = 0x1p-24) {
  const double ku = static_cast<double>(k) * u;
  return ku / (1 - ku);
}

inline Matrix<float> normal_matrix(std::size_t rows, std::size_t cols, Random& random, double scale = 1) {
  Matrix<float> matrix(rows, cols);
  for (float& value : matrix.values()) value = static_cast<float>(scale * random.normal());
  return matrix;
}

inline double norm(std::span<const double> v) {
  double sum = 0;
  for (const double value : v) sum += value * value;
  return std::sqrt(sum);
}

template <class A, class B>
double inner(std::span<const A> a, std::span<const B> b) {
  double sum = 0;
  for (std::size_t j = 0; j < a.size(); ++j) sum += static_cast<double>(a[j]) * static_cast<double>(b[j]);
  return sum;
}

/// A problem that owns its rows: segments of (plus, minus), minus without rows for pointwise ones.
struct Plain {
  std::vector<std::pair<Matrix<float>, Matrix<float>>> segments;
  Matrix<float> gates;  ///< [P, d]
  Targets targets;

  DesignRows<float> rows() const {
    DesignRows<float> design;
    for (const auto& [plus, minus] : segments) {
      design.segments.push_back({plus.view(), minus.rows() > 0 ? minus.view() : MatrixView<const float>()});
    }
    return design;
  }
  std::size_t count() const { return targets.labels.size(); }
  std::size_t dimension() const { return gates.cols(); }

  /// visit(row, group, features, sign) for every open gate of every response.
  void for_each_open(const std::function<void(std::size_t, std::size_t, std::span<const float>, double)>& visit) const {
    std::size_t row = 0;
    for (const auto& [plus, minus] : segments) {
      for (std::size_t i = 0; i < plus.rows(); ++i, ++row) {
        for (std::size_t p = 0; p < gates.rows(); ++p) {
          if (inner(gates.row(p), plus.row(i)) >= 0) visit(row, p, plus.row(i), 1.0);
          if (minus.rows() > 0 && inner(gates.row(p), minus.row(i)) >= 0) visit(row, p, minus.row(i), -1.0);
        }
      }
    }
  }

  /// F w; with `sizes` the sums of absolute terms too.
  template <class T>
  std::vector<double> forward(const Matrix<T>& w, std::vector<double>* sizes = nullptr) const {
    std::vector<double> z(count());
    if (sizes != nullptr) sizes->assign(count(), 0.0);
    for_each_open([&](std::size_t i, std::size_t p, std::span<const float> x, double sign) {
      for (std::size_t j = 0; j < x.size(); ++j) {
        const double term = static_cast<double>(w(p, j)) * static_cast<double>(x[j]);
        z[i] += sign * term;
        if (sizes != nullptr) (*sizes)[i] += std::abs(term);
      }
    });
    return z;
  }

  /// F' r
  template <class T>
  Matrix<double> adjoint(const std::vector<T>& r, Matrix<double>* sizes = nullptr) const {
    Matrix<double> g(gates.rows(), gates.cols());
    if (sizes != nullptr) *sizes = Matrix<double>(gates.rows(), gates.cols());
    for_each_open([&](std::size_t i, std::size_t p, std::span<const float> x, double sign) {
      for (std::size_t j = 0; j < x.size(); ++j) {
        const double term = static_cast<double>(r[i]) * static_cast<double>(x[j]);
        g(p, j) += sign * term;
        if (sizes != nullptr) (*sizes)(p, j) += std::abs(term);
      }
    });
    return g;
  }

  /// log(1 + e^t) and the squared loss, as in docs/math.md.
  double loss_of(std::size_t i, double z) const {
    const double y = targets.labels[i];
    const double margin = targets.margins.empty() ? 0.0 : static_cast<double>(targets.margins[i]);
    const double weight = targets.weights[i];
    if (targets.loss == Loss::Squared) return weight * (z - y) * (z - y) / 2;
    const double t = margin - y * z;
    return weight * (t > 0 ? t + std::log1p(std::exp(-t)) : std::log1p(std::exp(t)));
  }
  double slope_of(std::size_t i, double z) const {
    const double y = targets.labels[i];
    const double margin = targets.margins.empty() ? 0.0 : static_cast<double>(targets.margins[i]);
    const double weight = targets.weights[i];
    if (targets.loss == Loss::Squared) return weight * (z - y);
    return -weight * y / (1 + std::exp(y * z - margin));
  }

  /// argmin over the bias, by bisection of the slope.
  double best_bias(const std::vector<double>& z) const {
    double low = -1e9;
    double high = 1e9;
    for (int k = 0; k < 120; ++k) {
      const double middle = (low + high) / 2;
      double slope = 0;
      for (std::size_t i = 0; i < z.size(); ++i) slope += slope_of(i, z[i] + middle);
      (slope > 0 ? high : low) = middle;
    }
    return (low + high) / 2;
  }

  template <class T>
  double objective(const Matrix<T>& w, double bias, double beta) const {
    const std::vector<double> z = forward(w);
    double sum = 0;
    for (std::size_t i = 0; i < z.size(); ++i) sum += loss_of(i, z[i] + bias);
    for (std::size_t p = 0; p < w.rows(); ++p) sum += beta * std::sqrt(inner(w.row(p), w.row(p)));
    return sum;
  }

  /// F' loss'(F w + b), b the best bias when it is free.
  template <class T>
  Matrix<double> gradient(const Matrix<T>& w, bool free_bias) const {
    const std::vector<double> z = forward(w);
    const double bias = free_bias ? best_bias(z) : 0.0;
    std::vector<double> theta(z.size());
    for (std::size_t i = 0; i < z.size(); ++i) theta[i] = slope_of(i, z[i] + bias);
    return adjoint(theta);
  }

  /// An upper bound of the largest curvature of the loss in w: power iteration on F' W F, with a margin.
  double smoothness() const {
    Matrix<double> v(gates.rows(), gates.cols());
    Random random(99);
    for (double& value : v.values()) value = random.normal();
    double size = 0;
    for (int k = 0; k < 60; ++k) {
      size = norm(v.values());
      if (!(size > 0)) return 0;
      for (double& value : v.values()) value /= size;
      std::vector<double> z = forward(v);
      for (std::size_t i = 0; i < z.size(); ++i) z[i] *= static_cast<double>(targets.weights[i]);
      v = adjoint(z);
    }
    return 1.05 * size * (targets.loss == Loss::Squared ? 1.0 : 0.25);
  }
};

/// A random problem of the gated program: labels from a noisy planted model, so that groups are worth opening.
inline Plain random_problem(Loss loss, std::size_t n, std::size_t d, std::size_t gate_count, std::uint64_t seed) {
  Random random(seed);
  Plain plain;
  Matrix<float> plus = normal_matrix(n, d, random);
  Matrix<float> minus = loss == Loss::BradleyTerry ? normal_matrix(n, d, random) : Matrix<float>();
  plain.gates = normal_matrix(gate_count, d, random);
  for (float& value : plain.gates.row(0)) value = 0;  // the linear group
  plain.targets.loss = loss;
  plain.targets.labels.assign(n, 1.0f);
  plain.targets.weights.assign(n, 1.0f);
  plain.segments.emplace_back(std::move(plus), std::move(minus));
  const Matrix<float> truth = normal_matrix(gate_count, d, random);
  const std::vector<double> z = plain.forward(truth);
  for (std::size_t i = 0; i < n; ++i) {
    const float label = z[i] + random.normal() > 0.3 ? 1.0f : -1.0f;
    if (loss != Loss::BradleyTerry) {
      plain.targets.labels[i] = label;
    } else if (label < 0) {  // the better response comes first
      auto& [first, second] = plain.segments.front();
      for (std::size_t j = 0; j < d; ++j) std::swap(first(i, j), second(i, j));
    }
  }
  return plain;
}

/// The metric that a fit of these rows would use.
inline GatedMetric metric_for(const Plain& plain, ThreadPool& pool) {
  const std::vector<float>& weights = plain.targets.weights;
  return gated_metric(gated_moments(plain.rows(), weights, row_moments(plain.rows(), weights, pool), pool));
}

}  // namespace coala::test
