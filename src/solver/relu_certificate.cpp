#include "solver/relu_certificate.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace coala {
namespace {

template <class A, class B>
double product(std::span<const A> a, std::span<const B> b) {
  double sum = 0;
  for (std::size_t j = 0; j < a.size(); ++j) sum += static_cast<double>(a[j]) * static_cast<double>(b[j]);
  return sum;
}

}  // namespace

ReluCertificate certify_relu(MatrixView<const float> x, std::span<const float> y, MatrixView<const float> gates,
                             MatrixView<const double> u, const ReluDual& dual, double beta) {
  const std::size_t groups = gates.rows;
  std::vector<double> lengths(u.rows);
  double penalty = 0;
  for (std::size_t s = 0; s < u.rows; ++s) {
    // Halves that are zero make no neuron; the length of the others is found without squaring huge or tiny numbers.
    double largest = 0;
    for (const double value : u.row(s)) largest = std::max(largest, std::abs(value));
    double sum = 0;
    for (const double value : u.row(s)) sum += largest > 0 ? (value / largest) * (value / largest) : 0.0;
    lengths[s] = largest * std::sqrt(sum);
    penalty += lengths[s];
  }

  ReluCertificate result;
  double loss = 0;
  Matrix<double> gradient(groups, x.cols);  // F' theta
  Matrix<std::uint8_t> open(x.rows, groups);
  for (std::size_t i = 0; i < x.rows; ++i) {
    const std::span<const float> row = x.row(i);
    const double size = std::sqrt(product(row, row));
    double prediction = 0;
    for (std::size_t p = 0; p < groups; ++p) {
      const bool is_open = product<float, float>(gates.row(p), row) >= 0;
      open(i, p) = is_open ? 1 : 0;
      for (std::size_t half = 0; half < 2; ++half) {
        const std::size_t s = half * groups + p;
        if (!(lengths[s] > 0)) continue;
        const double z = product<float, double>(row, u.row(s));
        prediction += (half == 0 ? 1 : -1) * std::max(z, 0.0);
        if (size > 0) result.violation = std::max(result.violation, (is_open ? -z : z) / (size * lengths[s]));
      }
      if (is_open) {
        for (std::size_t j = 0; j < x.cols; ++j) gradient(p, j) += dual.theta[i] * static_cast<double>(row[j]);
      }
    }
    loss += (prediction - y[i]) * (prediction - y[i]) / 2;
  }
  result.objective = loss + beta * penalty;

  double largest = 0;
  for (std::size_t s = 0; s < u.rows; ++s) {
    const std::size_t p = s % groups;
    std::vector<double> h(x.cols);
    for (std::size_t j = 0; j < x.cols; ++j) h[j] = (s < groups ? 1 : -1) * gradient(p, j);
    for (const auto& [i, value] : dual.multipliers[s]) {
      const double alpha = (open(i, p) != 0 ? 1 : -1) * std::max(value, 0.0);
      for (std::size_t j = 0; j < x.cols; ++j) h[j] -= alpha * static_cast<double>(x(i, j));
    }
    largest = std::max(largest, std::sqrt(product<double, double>(h, h)));
  }
  double linear = 0;
  double square = 0;
  for (std::size_t i = 0; i < x.rows; ++i) {
    linear += dual.theta[i] * y[i];
    square += dual.theta[i] * dual.theta[i];
  }
  const double limit = largest > 0 ? beta / largest : HUGE_VAL;
  const double t = square > 0 ? std::clamp(-linear / square, 0.0, limit) : 0.0;
  result.dual_objective = -t * t * square / 2 - t * linear;
  const double size = std::max(std::abs(result.objective), std::abs(result.dual_objective));
  result.relative_gap = size > 0 ? (result.objective - result.dual_objective) / size : 0.0;
  return result;
}

}  // namespace coala
