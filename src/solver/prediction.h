#pragma once

#include <span>

#include "core/parallel.h"
#include "solver/loss.h"

namespace coala {

/// argmin_b sum_i loss_i(z_i + b): the free bias, exact to rounding (closed form, or a safeguarded Newton iteration
/// from `start`). Eliminating it makes the sum of the loss's derivatives zero, as a dual point needs.
double optimal_bias(const Targets& targets, std::span<const float> z, double start, ThreadPool& pool);

/// sum_i loss_i(z_i + bias), in double.
double total_loss(const Targets& targets, std::span<const float> z, double bias, ThreadPool& pool);

/// r_i = loss_i'(z_i + bias)
void loss_derivatives(const Targets& targets, std::span<const float> z, double bias, std::span<float> r,
                      ThreadPool& pool);

/// max over t in [0, limit] of the dual value -sum_i conjugate_i(t theta_i), theta_i = loss_i'(z_i + bias). For the
/// logistic losses t is also at most 1 (docs/math.md, "certificate"); then the best t is the largest one.
double dual_value(const Targets& targets, std::span<const float> theta, double limit, ThreadPool& pool);
/// -sum_i conjugate_i(t theta_i)
double dual_value_at(const Targets& targets, std::span<const float> theta, double t, ThreadPool& pool);

}  // namespace coala
