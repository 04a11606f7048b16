#include "solver/gated.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/resources.h"
#include "linalg/blas.h"
#include "solver/prediction.h"

namespace coala {
namespace {

constexpr int kGapEvery = 10;  ///< a gap costs one adjoint pass: a twentieth of the work in between

double norm(std::span<const float> x) {
  return std::sqrt(dot(x, x));
}

/// w_p := max(0, 1 - t / ||w_p||) w_p. A group that vanishes becomes exactly zero: the operator then leaves it out.
void shrink_groups(Matrix<float>& w, double t) {
  for (std::size_t p = 0; p < w.rows(); ++p) {
    const double size = norm(w.row(p));
    // A branch, not max(0, 1 - t / size): a group of norm 0 would give 0/0 for t = 0.
    const auto factor = static_cast<float>(size > t ? 1 - t / size : 0.0);
    for (float& value : w.row(p)) value = factor == 0 ? 0.0f : value * factor;
  }
}

double penalty(const Matrix<float>& w) {
  double sum = 0;
  for (std::size_t p = 0; p < w.rows(); ++p) sum += norm(w.row(p));
  return sum;
}

/// The loss's tangent at predictions `from`, with derivatives r, along the step to predictions z.
struct Tangent {
  double rise = 0;
  double rounding = 0;  ///< what single precision may add to the loss at z above it
};

/// The step is measured in the predictions, not in the weights: their rounding then enters the loss and the tangent
/// alike, and what it leaves is of second order. Of first order it would outweigh the loss where that is near zero
/// (separable rows), and no step, however short, would look short enough.
Tangent tangent_along(const Targets& targets, std::span<const float> r, std::span<const float> from,
                      std::span<const float> z) {
  Tangent tangent;
  double absolute = 0;
  double largest = 0;
  double weight = 0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    const double term = static_cast<double>(r[i]) * (static_cast<double>(z[i]) - from[i]);
    tangent.rise += term;
    absolute += std::abs(term);
    largest = std::max({largest, std::abs(static_cast<double>(from[i])), std::abs(static_cast<double>(z[i]))});
    weight += static_cast<double>(targets.weights[i]);
  }
  const double error = 0x1p-21 * largest;  // of a prediction, a few units in the last place
  tangent.rounding = 0.5 * loss_curvature_bound(targets.loss) * weight * error * error + 0x1p-24 * absolute;
  return tangent;
}

std::vector<std::uint8_t> nonzero_groups(const Matrix<float>& w) {
  std::vector<std::uint8_t> active(w.rows());
  for (std::size_t p = 0; p < w.rows(); ++p) {
    active[p] = std::any_of(w.row(p).begin(), w.row(p).end(), [](float value) { return value != 0; }) ? 1 : 0;
  }
  return active;
}

}  // namespace

GatedSolver::GatedSolver(GatedOperator<float>& f, const Targets& targets, GatedSettings settings)
    : f_(&f), targets_(&targets), settings_(settings) {
  current_.w = Matrix<float>(f.groups(), f.dimension());
  current_.z.assign(f.rows(), 0.0f);
  current_.bias = bias_for(current_.z, 0.0);
}

double GatedSolver::bias_for(std::span<const float> z, double start) const {
  return settings_.bias ? optimal_bias(*targets_, z, start) : 0.0;
}

double GatedSolver::beta_max() {
  const std::vector<float> zero(f_->rows(), 0.0f);
  std::vector<float> theta(f_->rows());
  loss_derivatives(*targets_, zero, bias_for(zero, 0.0), theta);
  Matrix<float> gradient(f_->groups(), f_->dimension());
  f_->adjoint(theta, gradient.view());
  double largest = 0;
  for (std::size_t p = 0; p < gradient.rows(); ++p) largest = std::max(largest, norm(gradient.row(p)));
  return largest;
}

void GatedSolver::start_from(const Matrix<float>& w) {
  current_.w = w;
  f_->forward(w.view(), current_.z, nonzero_groups(w));
  current_.bias = bias_for(current_.z, current_.bias);
}

void GatedSolver::find_scale() {
  // A few power iterations give the order of magnitude; backtracking corrects it from below.
  Matrix<float> v(f_->groups(), f_->dimension());
  for (std::size_t k = 0; k < v.values().size(); ++k) {
    v.values()[k] = 1.0f + static_cast<float>(k % 7) / 7;  // no symmetry with the data is likely; any start will do
  }
  Matrix<float> next(f_->groups(), f_->dimension());
  constexpr int kPowerIterations = 5;
  for (int k = 0; k < kPowerIterations; ++k) {
    const double size = norm(v.values());
    if (!(size > 0)) break;
    for (float& value : v.values()) value = static_cast<float>(value / size);
    f_->fused(
        v.view(), [&](std::size_t i, float z) { return targets_->weights[i] * z; }, next.view());
    curvature_ = norm(next.values()) * loss_curvature_bound(targets_->loss);
    std::swap(v, next);
  }
  if (!std::isfinite(curvature_)) {
    throw Error(ErrorCode::BadInput, "the features are too large: their squares overflow single precision",
                "scale the features down");
  }
  curvature_ = std::max(curvature_, 1e-30);
}

double GatedSolver::evaluate_gap(double beta, double loss, SolveInfo& info) {
  std::vector<float> theta(f_->rows());
  loss_derivatives(*targets_, current_.z, current_.bias, theta);
  Matrix<float> gradient(f_->groups(), f_->dimension());
  f_->adjoint(theta, gradient.view());
  double largest = 0;
  for (std::size_t p = 0; p < gradient.rows(); ++p) largest = std::max(largest, norm(gradient.row(p)));
  const double limit = largest > 0 ? beta / largest : HUGE_VAL;
  info.objective = loss + beta * penalty(current_.w);
  info.dual_objective = dual_value(*targets_, theta, limit);
  return info.relative_gap();
}

SolveInfo GatedSolver::solve(double beta, double tolerance) {
  const double start_s = monotonic_s();
  const std::uint64_t first_pass = f_->passes();
  const double first_flops = f_->flops();
  if (curvature_ == 0) find_scale();

  SolveInfo info;
  const std::size_t n = f_->rows();
  Matrix<float> y = current_.w;  // the extrapolated point, with its predictions: F is linear, no pass is needed
  std::vector<float> y_z = current_.z;
  Matrix<float> gradient(f_->groups(), f_->dimension());
  Matrix<float> next(f_->groups(), f_->dimension());
  std::vector<float> next_z(n);
  std::vector<float> r(n);
  double momentum = 1;
  double loss = total_loss(*targets_, current_.z, current_.bias);
  double best_gap = evaluate_gap(beta, loss, info);
  SolveInfo best_info = info;
  GatedWeights best = current_;
  double y_bias = current_.bias;
  int checks_without_gain = 0;

  info.status = SolveStatus::IterationLimit;
  if (best_gap <= tolerance) info.status = SolveStatus::Solved;
  while (info.status == SolveStatus::IterationLimit && info.iterations < settings_.max_iterations) {
    if (interrupted()) {
      info.status = SolveStatus::Interrupted;
      break;
    }
    ++info.iterations;
    y_bias = bias_for(y_z, y_bias);
    const double y_loss = total_loss(*targets_, y_z, y_bias);
    loss_derivatives(*targets_, y_z, y_bias, r);
    f_->adjoint(r, gradient.view());

    double next_loss = 0;
    double next_bias = y_bias;
    curvature_ *= 0.97;  // the estimate may only have been needed elsewhere on the path: let it sink, slowly
    for (;;) {
      const double step = 1 / curvature_;
      for (std::size_t k = 0; k < next.values().size(); ++k) {
        next.values()[k] = static_cast<float>(y.values()[k] - step * gradient.values()[k]);
      }
      shrink_groups(next, step * beta);
      f_->forward(next.view(), next_z, nonzero_groups(next));
      next_bias = bias_for(next_z, next_bias);
      next_loss = total_loss(*targets_, next_z, next_bias);
      if (!std::isfinite(next_loss)) {
        throw Error(ErrorCode::BadInput, "the objective is not finite: the features are too large", "scale them down");
      }
      double square = 0;
      double size = 0;
      for (std::size_t k = 0; k < next.values().size(); ++k) {
        const double move = static_cast<double>(next.values()[k]) - y.values()[k];
        square += move * move;
        size += static_cast<double>(y.values()[k]) * y.values()[k];
      }
      const Tangent tangent = tangent_along(*targets_, r, y_z, next_z);
      // Rounding of the losses, about n u |loss| in the worst case, must not be mistaken for curvature.
      const double slack = tangent.rounding + 1e-7 * y_loss;
      if (next_loss <= y_loss + tangent.rise + 0.5 * curvature_ * square + slack) break;
      // A step of the size of the weights' own rounding: shorter ones tell nothing.
      if (square <= 0x1p-44 * size) break;
      curvature_ *= 1.6;
    }

    // Restart when the momentum points uphill.
    double uphill = 0;
    for (std::size_t k = 0; k < next.values().size(); ++k) {
      uphill += (static_cast<double>(y.values()[k]) - next.values()[k]) *
                (static_cast<double>(next.values()[k]) - current_.w.values()[k]);
    }
    double factor = 0;
    if (uphill > 0) {
      momentum = 1;
    } else {
      const double grown = (1 + std::sqrt(1 + 4 * momentum * momentum)) / 2;
      factor = (momentum - 1) / grown;
      momentum = grown;
    }
    for (std::size_t k = 0; k < next.values().size(); ++k) {
      const double value = next.values()[k];
      y.values()[k] = static_cast<float>(value + factor * (value - current_.w.values()[k]));
    }
    for (std::size_t i = 0; i < n; ++i) {
      const double value = next_z[i];
      y_z[i] = static_cast<float>(value + factor * (value - current_.z[i]));
    }
    std::swap(current_.w, next);
    std::swap(current_.z, next_z);
    current_.bias = next_bias;
    loss = next_loss;

    if (info.iterations % kGapEvery == 0) {
      const double gap = evaluate_gap(beta, loss, info);
      if (gap <= tolerance) {
        info.status = SolveStatus::Solved;
      } else if (gap < 0.999 * best_gap) {
        checks_without_gain = 0;
      } else if (++checks_without_gain >= 30) {
        info.status = SolveStatus::Stalled;  // single precision has given what it can
      }
      if (gap < best_gap) {
        best_gap = gap;
        best_info = info;
        best = current_;
      }
    }
  }
  if (info.iterations % kGapEvery != 0) evaluate_gap(beta, loss, info);
  if (info.relative_gap() > best_gap) {  // what rounding took away after the best iterate
    current_ = std::move(best);
    info.objective = best_info.objective;
    info.dual_objective = best_info.dual_objective;
  }
  info.passes_over_x = f_->passes() - first_pass;
  info.flops = f_->flops() - first_flops;
  info.seconds = monotonic_s() - start_s;
  return info;
}

}  // namespace coala
