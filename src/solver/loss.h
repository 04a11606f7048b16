#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "coala/fit_choices.h"

namespace coala {

std::string_view loss_name(Loss loss) noexcept;

/// Targets of n rows. Empty `margins` mean 0. A weight of 0 leaves a row out of the fit: that is how folds are made.
struct Targets {
  Loss loss = Loss::Logistic;
  std::vector<float> labels;   ///< [n], -1 or +1
  std::vector<float> weights;  ///< [n], >= 0
  std::vector<float> margins;  ///< [n] or empty

  double margin(std::size_t i) const { return margins.empty() ? 0.0 : static_cast<double>(margins[i]); }
};

/// weight_i * loss(z)
double loss_value(const Targets& targets, std::size_t i, double z) noexcept;
/// Its derivative in z.
double loss_derivative(const Targets& targets, std::size_t i, double z) noexcept;
/// Its second derivative in z.
double loss_curvature(const Targets& targets, std::size_t i, double z) noexcept;
/// An upper bound of the second derivative for weight 1.
double loss_curvature_bound(Loss loss) noexcept;
/// The convex conjugate of weight_i * loss at s; infinite outside its domain.
double loss_conjugate(const Targets& targets, std::size_t i, double s) noexcept;

/// log(1 + exp(x)) without overflow.
double softplus(double x) noexcept;
double sigmoid(double x) noexcept;

}  // namespace coala
