#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include "coala/fit_choices.h"
#include "solver/loss_function.h"

namespace coala {

inline constexpr std::array kLosses{Loss::Squared, Loss::Logistic, Loss::BradleyTerry};

const LossFunction& loss_function(Loss loss);
inline std::string_view loss_name(Loss loss) {
  return loss_function(loss).name();
}

/// Targets of n rows. Empty `margins` mean 0. A weight of 0 leaves a row out of the fit: that is how folds are made.
struct Targets {
  Loss loss = Loss::Logistic;
  std::vector<float> labels;   ///< [n], -1 or +1
  std::vector<float> weights;  ///< [n], >= 0
  std::vector<float> margins;  ///< [n] or empty

  const LossFunction& function() const { return loss_function(loss); }
  double margin(std::size_t i) const { return margins.empty() ? 0.0 : static_cast<double>(margins[i]); }
  Target operator[](std::size_t i) const { return {labels[i], weights[i], margin(i)}; }
  /// Some of the rows.
  TargetRows rows(std::size_t first, std::size_t count) const {
    return {labels.data() + first, weights.data() + first, margins.empty() ? nullptr : margins.data() + first, count};
  }
};

/// weight_i * loss(z)
inline double loss_value(const Targets& targets, std::size_t i, double z) {
  return targets.function().value(targets[i], z);
}
/// Its derivative in z.
inline double loss_derivative(const Targets& targets, std::size_t i, double z) {
  return targets.function().derivative(targets[i], z);
}
/// Its second derivative in z.
inline double loss_curvature(const Targets& targets, std::size_t i, double z) {
  return targets.function().curvature(targets[i], z);
}
/// An upper bound of the second derivative for weight 1.
inline double loss_curvature_bound(Loss loss) {
  return loss_function(loss).curvature_bound();
}
/// The convex conjugate of weight_i * loss at s; infinite outside its domain.
inline double loss_conjugate(const Targets& targets, std::size_t i, double s) {
  return targets.function().conjugate(targets[i], s);
}

/// log(1 + exp(x)) without overflow.
double softplus(double x) noexcept;
double sigmoid(double x) noexcept;

}  // namespace coala
