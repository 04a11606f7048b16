#pragma once

#include <functional>
#include <span>

namespace coala {

enum class PcgStatus { Converged, IterationLimit, Breakdown };

struct PcgResult {
  PcgStatus status = PcgStatus::Converged;
  int iterations = 0;
  double residual = 0;  ///< norm, as the recurrence has it
};

struct PcgSettings {
  double relative_tolerance = 1e-6;  ///< of the norm of the right-hand side
  double absolute_tolerance = 0;
  int max_iterations = 1000;
};

using LinearMap = std::function<void(std::span<const double> in, std::span<double> out)>;

/// Preconditioned conjugate gradients from the x that is given. Stops at whichever tolerance is met first. A breakdown
/// (a direction without positive curvature, a number that is not finite) leaves the last finite x.
PcgResult conjugate_gradients(const LinearMap& apply, const LinearMap& precondition, std::span<const double> rhs,
                              std::span<double> x, const PcgSettings& settings);

}  // namespace coala
