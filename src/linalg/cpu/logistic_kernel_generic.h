// See gated_kernels_generic.h for how this is compiled, and why it calls no library function.
#pragma once

#include <cstdint>
#include <type_traits>

#include "linalg/logistic_kernel.h"

namespace coala {
namespace {

/// @tparam T  double; a parameter because the compiler sizes vectors of dependent types only
template <class T, int Bytes>
struct LogisticKernelGeneric {
  static constexpr int kLanes = Bytes / 8;
  using Vector __attribute__((vector_size(Bytes))) = T;
  using Word = std::conditional_t<sizeof(T) == 8, std::int64_t, void>;
  using Bits __attribute__((vector_size(Bytes))) = Word;

  /// exp(-a) for a in [0, 708], 0 beyond: 2^k exp(r), |r| <= ln(2)/2, Taylor to degree 13 (remainder below 2^-58).
  static Vector exp_minus(Vector a) {
    constexpr double kLog2E = 1.4426950408889634;
    constexpr double kLn2High = 0x1.62e42fefa39efp-1;
    constexpr double kLn2Low = 0x1.abc9e3b39803fp-56;
    constexpr double kRound = 0x1.8p52;  // adding it leaves the nearest integer in the low bits
    const Vector clamped = a < 708.0 ? a : Vector{} + 708.0;
    const Vector shifted = clamped * -kLog2E + kRound;
    const Vector k = shifted - kRound;
    const Vector r = (-clamped - k * kLn2High) - k * kLn2Low;
    Vector p = Vector{} + 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    const Bits exponent = reinterpret_cast<Bits>(shifted) << 52;  // modulo 2^12 this is k, wherever kRound put it
    const Vector result = reinterpret_cast<Vector>(reinterpret_cast<Bits>(p) + exponent);
    return a < 708.0 ? result : Vector{};
  }

  /// log(1 + t) for t in [0, 1]: 2 atanh(s), s = t / (2 + t) <= 1/3, odd series to s^33 (remainder below 2^-57).
  static Vector log_one_plus(Vector t) {
    const Vector s = t / (2.0 + t);
    const Vector s2 = s * s;
    Vector p = Vector{} + 1.0 / 33.0;
    for (int k = 31; k >= 1; k -= 2) p = p * s2 + 1.0 / static_cast<double>(k);
    return 2.0 * s * p;
  }

  static double sum(Vector v) {
    double total = 0;
    for (int k = 0; k < kLanes; ++k) total += v[k];
    return total;
  }

  static LossSums run(const float* z, const float* labels, const float* weights, const float* margins, std::size_t n,
                      double bias, float* derivatives) {
    Vector loss{};
    Vector slope{};
    Vector absolute{};
    Vector curvature{};
    for (std::size_t first = 0; first < n; first += kLanes) {
      const int count = n - first < kLanes ? static_cast<int>(n - first) : kLanes;
      Vector label{};
      Vector weight{};  // 0 in the lanes beyond the end
      Vector u{};
      for (int k = 0; k < count; ++k) {
        const std::size_t i = first + static_cast<std::size_t>(k);
        label[k] = static_cast<double>(labels[i]);
        weight[k] = static_cast<double>(weights[i]);
        u[k] = static_cast<double>(z[i]);
      }
      u = -label * (u + bias);
      if (margins != nullptr) {
        for (int k = 0; k < count; ++k) u[k] += static_cast<double>(margins[first + static_cast<std::size_t>(k)]);
      }
      const Vector t = exp_minus(u < 0.0 ? -u : u);
      const Vector inverse = 1.0 / (1.0 + t);
      const Vector q = u < 0.0 ? t * inverse : inverse;  // sigmoid(u)
      loss += weight * ((u < 0.0 ? Vector{} : u) + log_one_plus(t));
      const Vector derivative = -label * weight * q;
      slope += derivative;
      absolute += weight * q;
      curvature += weight * t * inverse * inverse;  // q (1 - q), without cancellation
      if (derivatives == nullptr) continue;
      for (int k = 0; k < count; ++k) {
        derivatives[first + static_cast<std::size_t>(k)] = static_cast<float>(derivative[k]);
      }
    }
    return {sum(loss), sum(slope), sum(absolute), sum(curvature)};
  }
};

}  // namespace
}  // namespace coala
