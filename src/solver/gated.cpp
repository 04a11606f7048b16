#include "solver/gated.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/resources.h"
#include "linalg/blas.h"
#include "solver/prediction.h"

namespace coala {
namespace {

/// A gap costs one pass, as an iteration does: the checks grow rarer as a solve grows longer.
constexpr int kFirstCheck = 4;
constexpr int next_check(std::int64_t iterations) {
  return static_cast<int>(iterations + std::clamp<std::int64_t>(iterations / 4, kFirstCheck, 25));
}

double norm(std::span<const float> x) {
  return std::sqrt(dot(x, x));
}

/// The group step in the metric: argmin_w 1/2 sum_j m_j (w_j - v_j)^2 + beta ||w||, with q_j = m_j v_j given. Zero when
/// ||q|| <= beta; else w_j = q_j s / (m_j s + beta), s = ||w|| the root of the decreasing
/// phi(s) = sum_j q_j^2 / (m_j s + beta)^2 = 1. Newton on 1/sqrt(phi), which is concave: from the left it never
/// overshoots.
void shrink_group(std::span<const double> q, std::span<const double> m, double beta, std::span<float> w) {
  double square = 0;
  for (const double value : q) square += value * value;
  if (!(square > beta * beta)) {
    std::ranges::fill(w, 0.0f);
    return;
  }
  double s = 0;
  if (beta > 0) {
    constexpr int kMostSteps = 60;
    for (int step = 0; step < kMostSteps; ++step) {
      double phi = 0;
      double slope = 0;  // -phi'/2
      for (std::size_t j = 0; j < q.size(); ++j) {
        const double inverse = 1 / (m[j] * s + beta);
        const double term = q[j] * inverse * (q[j] * inverse);
        phi += term;
        slope += term * inverse * m[j];
      }
      const double root = std::sqrt(phi);
      const double move = (root - 1) * phi / slope;
      s += move;
      if (!(move > 1e-9 * s)) break;
    }
  }
  for (std::size_t j = 0; j < q.size(); ++j) {
    w[j] = static_cast<float>(beta > 0 ? q[j] * s / (m[j] * s + beta) : q[j] / m[j]);
  }
}

}  // namespace

/// A point with what a pass over X tells of it. Weights and gradient are in the metric's basis.
struct GatedSolver::Point {
  Matrix<float> w;
  double bias = 0;
  std::vector<float> z;
  std::vector<float> r;  ///< derivatives of the loss
  double loss = 0;
  Matrix<float> gradient;
  double bias_gradient = 0;

  Point(std::size_t n, std::size_t groups, std::size_t d) : w(groups, d), z(n), r(n), gradient(groups, d) {}
};

/// Of the step from y to `next`. It is measured in the predictions, not in the weights: their rounding then enters the
/// loss and the tangent alike, and what it leaves is of second order. Of first order it would outweigh the loss where
/// that is near zero (separable rows), and no step, however short, would look short enough.
struct GatedSolver::Sums {
  double loss = 0;      ///< at `next`
  double rise = 0;      ///< of the loss's tangent at y
  double absolute = 0;  ///< the same with all terms positive
  double largest = 0;   ///< prediction
};

GatedSolver::GatedSolver(GatedOperator<float>& f, const Targets& targets, const GatedMetric& metric,
                         GatedSettings settings)
    : f_(&f), targets_(&targets), metric_(&metric), settings_(std::move(settings)) {
  current_.w = Matrix<float>(f.groups(), f.dimension());
  rotated_ = current_.w;
  current_.z.assign(f.rows(), 0.0f);
  current_.bias = bias_for(current_.z, 0.0);
}

void GatedSolver::turn(const Matrix<float>& from, Matrix<float>& to) const {
  metric_->rotate(from, to, f_->pool());
  f_->add_flops(metric_->flops(from.rows()));
}

void GatedSolver::turn_back(const Matrix<float>& from, Matrix<float>& to) const {
  metric_->rotate_back(from, to, f_->pool());
  f_->add_flops(metric_->flops(from.rows()));
}

double GatedSolver::group_weight(std::size_t p) const {
  return settings_.group_weights.empty() ? 1.0 : settings_.group_weights[p];
}

double GatedSolver::penalty(const Matrix<float>& w) const {
  double sum = 0;
  for (std::size_t p = 0; p < w.rows(); ++p) sum += group_weight(p) * norm(w.row(p));
  return sum;
}

double GatedSolver::largest_norm(const Matrix<float>& gradient) const {
  double largest = 0;
  for (std::size_t p = 0; p < gradient.rows(); ++p) {
    largest = std::max(largest, norm(gradient.row(p)) / group_weight(p));
  }
  return largest;
}

double GatedSolver::bias_for(std::span<const float> z, double start) const {
  return settings_.bias ? optimal_bias(*targets_, z, start, f_->pool()) : 0.0;
}

Matrix<float> GatedSolver::gradient_at(std::span<const float> z, double bias) {
  std::vector<float> theta(f_->rows());
  loss_derivatives(*targets_, z, bias, theta, f_->pool());
  Matrix<float> gradient(f_->groups(), f_->dimension());
  f_->adjoint(theta, gradient.view());
  return gradient;
}

double GatedSolver::beta_max() {
  const std::vector<float> zero(f_->rows(), 0.0f);
  return largest_norm(gradient_at(zero, bias_for(zero, 0.0)));
}

double GatedSolver::opening_beta() {
  Matrix<float> gradient = gradient_at(current_.z, current_.bias);
  for (std::size_t p = 0; p < f_->groups(); ++p) {
    if (norm(current_.w.row(p)) > 0) std::ranges::fill(gradient.row(p), 0.0f);
  }
  return largest_norm(gradient);
}

void GatedSolver::start_from(const Matrix<float>& w, double curvature) {
  current_.w = w;
  turn(w, rotated_);
  f_->forward(w.view(), current_.z);
  current_.bias = bias_for(current_.z, current_.bias);
  if (curvature > 0) set_scale(curvature);
}

void GatedSolver::assume_curvature(double curvature) {
  if (curvature_ == 0 && curvature > 0) set_scale(curvature);
}

void GatedSolver::find_scale() {
  // A few power iterations give the order of magnitude; backtracking corrects it from below.
  Matrix<float> v(f_->groups(), f_->dimension());
  for (std::size_t k = 0; k < v.values().size(); ++k) {
    v.values()[k] = 1.0f + static_cast<float>(k % 7) / 7;  // no symmetry with the data is likely; any start will do
  }
  Matrix<float> direction = v;
  Matrix<float> product = v;
  double curvature = 0;
  constexpr int kPowerIterations = 5;
  for (int k = 0; k < kPowerIterations; ++k) {
    const double size = norm(v.values());
    if (!(size > 0)) break;
    for (float& value : v.values()) value = static_cast<float>(value / size);
    turn_back(v, direction);
    const auto weighted = [&](std::size_t, std::size_t first, std::span<float> z) {
      for (std::size_t i = 0; i < z.size(); ++i) z[i] *= targets_->weights[first + i];
    };
    f_->fused_blocks(direction.view(), weighted, product.view());
    turn(product, v);
    for (std::size_t p = 0; p < v.rows(); ++p) {
      for (std::size_t j = 0; j < v.cols(); ++j) v(p, j) /= metric_->scale[j];
    }
    curvature = norm(v.values()) * loss_curvature_bound(targets_->loss);
  }
  if (!std::isfinite(curvature)) {
    throw Error(ErrorCode::BadInput, "the features are too large: their squares overflow single precision",
                "scale the features down");
  }
  set_scale(curvature);
}

void GatedSolver::set_scale(double curvature) {
  curvature_ = std::max(curvature, 1e-30);
  double weight = 0;
  for (const float value : targets_->weights) weight += static_cast<double>(value);
  bias_scale_ = std::max(loss_curvature_bound(targets_->loss) * weight / curvature_, 1e-30);
}

double GatedSolver::evaluate_gap(double beta, Point& at, SolveInfo& info) {
  at.w = rotated_;
  at.z = current_.z;
  at.bias = bias_for(at.z, current_.bias);
  at.loss = total_loss(*targets_, at.z, at.bias, f_->pool());
  loss_derivatives(*targets_, at.z, at.bias, at.r, f_->pool());
  at.bias_gradient = 0;  // at the optimum
  Matrix<float> gradient(f_->groups(), f_->dimension());
  f_->adjoint(at.r, gradient.view());
  turn(gradient, at.gradient);
  return gap_at(beta, at, info);
}

double GatedSolver::gap_at(double beta, const Point& at, SolveInfo& info) const {
  const double largest = largest_norm(at.gradient);
  info.objective = at.loss + beta * penalty(at.w);
  info.dual_objective = dual_value(*targets_, at.r, largest > 0 ? beta / largest : HUGE_VAL, f_->pool());
  return info.relative_gap();
}

void GatedSolver::proximal_step(const Point& y, double beta, Matrix<float>& next) const {
  const std::size_t d = f_->dimension();
  std::vector<double> m(d);
  for (std::size_t j = 0; j < d; ++j) m[j] = curvature_ * static_cast<double>(metric_->scale[j]);
  const std::size_t grain = std::max<std::size_t>(1, 2048 / d);  // a few short groups are not worth a thread
  f_->pool().for_parts(f_->groups(), grain, [&](int, std::size_t begin, std::size_t end) {
    std::vector<double> q(d);
    for (std::size_t p = begin; p < end; ++p) {
      for (std::size_t j = 0; j < d; ++j) {
        q[j] = m[j] * static_cast<double>(y.w(p, j)) - static_cast<double>(y.gradient(p, j));
      }
      shrink_group(q, m, beta * group_weight(p), next.row(p));
    }
  });
}

GatedSolver::Sums GatedSolver::pass(const Point& y, double factor, Point& next, Point& ahead) {
  struct alignas(64) Partial {
    Sums sums;
    LossSums ahead;
  };
  std::vector<Partial> partials(f_->chunks());
  const auto map = [&](std::size_t chunk, std::size_t first, std::span<float> z) {
    Partial& partial = partials[chunk];
    Sums& sums = partial.sums;
    const double bias_step = next.bias - y.bias;
    for (std::size_t k = 0; k < z.size(); ++k) {
      const std::size_t i = first + k;
      const double value = z[k];
      const double before = y.z[i];
      const double term = static_cast<double>(y.r[i]) * (value - before + bias_step);
      sums.rise += term;
      sums.absolute += std::abs(term);
      sums.largest = std::max({sums.largest, std::abs(before), std::abs(value)});
      ahead.z[i] = static_cast<float>(value + factor * (value - current_.z[i]));
    }
    std::ranges::copy(z, next.z.begin() + static_cast<long>(first));
    const TargetRows rows = targets_->rows(first, z.size());
    sums.loss += targets_->function().sums(rows, z.data(), next.bias, nullptr).loss;
    const LossSums loss = targets_->function().sums(rows, ahead.z.data() + first, ahead.bias, z.data());
    std::ranges::copy(z, ahead.r.begin() + static_cast<long>(first));
    partial.ahead.loss += loss.loss;
    partial.ahead.slope += loss.slope;
  };
  Matrix<float> direction(f_->groups(), f_->dimension());
  turn_back(next.w, direction);
  Matrix<float> gradient(f_->groups(), f_->dimension());
  f_->fused_blocks(direction.view(), map, gradient.view());
  turn(gradient, ahead.gradient);

  Sums total;
  ahead.loss = 0;
  ahead.bias_gradient = 0;
  for (const Partial& partial : partials) {
    total.loss += partial.sums.loss;
    total.rise += partial.sums.rise;
    total.absolute += partial.sums.absolute;
    total.largest = std::max(total.largest, partial.sums.largest);
    ahead.loss += partial.ahead.loss;
    ahead.bias_gradient += partial.ahead.slope;
  }
  return total;
}

SolveInfo GatedSolver::solve(double beta, double tolerance, const Deadline& deadline) {
  const double start_s = monotonic_s();
  const std::uint64_t first_pass = f_->passes();
  const double first_flops = f_->flops();
  if (curvature_ == 0) find_scale();

  SolveInfo info;
  const std::size_t groups = f_->groups();
  const std::size_t d = f_->dimension();
  Point y(f_->rows(), groups, d);
  Point next = y;
  Point ahead = y;
  Point checked = y;
  double weight = 0;
  for (const float value : targets_->weights) weight += static_cast<double>(value);
  double best_gap = evaluate_gap(beta, y, info);
  current_.bias = y.bias;
  SolveInfo best_info = info;
  GatedWeights best{rotated_, current_.bias, current_.z};
  double momentum = 1;
  std::int64_t check_at = kFirstCheck;
  double gap_at_check = best_gap;
  int checks_without_gain = 0;

  info.status = best_gap <= tolerance ? SolveStatus::Solved : SolveStatus::IterationLimit;
  while (info.status == SolveStatus::IterationLimit && info.iterations < settings_.max_iterations) {
    if (interrupted()) {
      info.status = SolveStatus::Interrupted;
      break;
    }
    ++info.iterations;
    const double grown = (1 + std::sqrt(1 + 4 * momentum * momentum)) / 2;
    double uphill = 0;
    curvature_ *= 0.97;  // the estimate may only have been needed elsewhere on the path: let it sink, slowly
    for (;;) {
      proximal_step(y, beta, next.w);
      next.bias = settings_.bias ? y.bias - y.bias_gradient / (curvature_ * bias_scale_) : 0.0;
      // Restart when the momentum points uphill.
      const double bias_move = next.bias - y.bias;
      uphill = -bias_scale_ * bias_move * (next.bias - current_.bias);
      double square = bias_scale_ * bias_move * bias_move;
      double size = 0;
      for (std::size_t p = 0; p < groups; ++p) {
        for (std::size_t j = 0; j < d; ++j) {
          const double scale = metric_->scale[j];
          const double move = static_cast<double>(next.w(p, j)) - y.w(p, j);
          uphill -= scale * move * (static_cast<double>(next.w(p, j)) - rotated_(p, j));
          square += scale * move * move;
          size += scale * static_cast<double>(y.w(p, j)) * y.w(p, j);
        }
      }
      const double factor = uphill > 0 ? 0.0 : (momentum - 1) / grown;
      for (std::size_t k = 0; k < next.w.values().size(); ++k) {
        const double value = next.w.values()[k];
        ahead.w.values()[k] = static_cast<float>(value + factor * (value - rotated_.values()[k]));
      }
      ahead.bias = next.bias + factor * (next.bias - current_.bias);
      const Sums sums = pass(y, factor, next, ahead);
      if (!std::isfinite(sums.loss) || !std::isfinite(ahead.loss)) {
        throw Error(ErrorCode::BadInput, "the objective is not finite: the features are too large", "scale them down");
      }
      // Rounding of the losses and predictions must not be mistaken for curvature.
      const double error = 0x1p-21 * sums.largest;  // of a prediction, a few units in the last place
      const double slack =
          0.5 * loss_curvature_bound(targets_->loss) * weight * error * error + 0x1p-24 * sums.absolute + 1e-7 * y.loss;
      if (sums.loss <= y.loss + sums.rise + 0.5 * curvature_ * square + slack) break;
      // A step of the size of the weights' own rounding: shorter ones tell nothing.
      if (square <= 0x1p-44 * size) break;
      curvature_ *= 1.6;
    }
    momentum = uphill > 0 ? 1 : grown;
    std::swap(rotated_, next.w);
    std::swap(current_.z, next.z);
    current_.bias = next.bias;
    std::swap(y, ahead);

    const bool late = deadline.passed();
    const bool check = info.iterations >= check_at || info.iterations >= settings_.max_iterations || late;
    if (settings_.bias && !check) continue;
    // Without a bias all that a gap needs is known of the point ahead; with one its best bias takes a pass.
    const double gap = settings_.bias ? evaluate_gap(beta, checked, info) : gap_at(beta, y, info);
    if (gap < best_gap) {
      best_gap = gap;
      best_info = info;
      best = settings_.bias ? GatedWeights{rotated_, checked.bias, current_.z} : GatedWeights{y.w, 0.0, y.z};
    }
    if (gap <= tolerance) {
      info.status = SolveStatus::Solved;
    } else if (late) {
      info.status = SolveStatus::TimeLimit;
    }
    if (!check) continue;
    check_at = next_check(info.iterations);
    checks_without_gain = best_gap < 0.999 * gap_at_check ? 0 : checks_without_gain + 1;
    gap_at_check = best_gap;
    if (info.status == SolveStatus::IterationLimit && checks_without_gain >= 30) {
      info.status = SolveStatus::Stalled;  // single precision has given what it can
    }
  }
  // The best point that was checked; without an iteration it is the start, as it was.
  rotated_ = std::move(best.w);
  current_.z = std::move(best.z);
  current_.bias = best.bias;
  if (info.iterations > 0) turn_back(rotated_, current_.w);
  info.objective = best_info.objective;
  info.dual_objective = best_info.dual_objective;
  info.passes_over_x = f_->passes() - first_pass;
  info.flops = f_->flops() - first_flops;
  info.seconds = monotonic_s() - start_s;
  return info;
}

}  // namespace coala
