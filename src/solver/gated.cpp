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

}  // namespace

/// A point with what a pass over X tells of it. Weights and gradient are in the metric's basis.
struct GatedSolver::Point {
  Buffer w;
  double bias = 0;
  Buffer z;
  Buffer r;  ///< derivatives of the loss
  double loss = 0;
  Buffer gradient;
  double bias_gradient = 0;

  Point(Backend& backend, std::size_t n, std::size_t weights)
      : w(backend.allocate(weights)),
        z(backend.allocate(n)),
        r(backend.allocate(n)),
        gradient(backend.allocate(weights)) {}
};

GatedSolver::GatedSolver(GatedOperator<float>& f, const Targets& targets, const GatedMetric& metric,
                         GatedSettings settings)
    : f_(&f),
      targets_(&targets),
      metric_(&metric),
      settings_(std::move(settings)),
      cpu_(settings_.backend == nullptr ? open_backend("cpu", f.pool()) : nullptr),
      backend_(cpu_ ? cpu_.get() : settings_.backend),
      rows_(&f.on(*backend_, settings_.features)),
      turned_(metric, f.groups(), *backend_),
      labels_(backend_->constant(targets.labels)),
      weights_(backend_->constant(targets.weights)),
      rotated_(backend_->allocate(f.groups() * f.dimension())),
      z_(backend_->allocate(f.rows())),
      direction_(backend_->allocate(f.groups() * f.dimension())),
      gradient_(backend_->allocate(f.groups() * f.dimension())),
      theta_(f.rows()) {
  if (!targets.margins.empty()) margins_ = backend_->constant(targets.margins);
  current_.w = Matrix<float>(f.groups(), f.dimension());
  backend_->upload(current_.w.values(), rotated_);
  current_.z.assign(f.rows(), 0.0f);
  backend_->upload(current_.z, z_);
  current_.bias = bias_for(current_.z, 0.0);
}

void GatedSolver::turn(const Buffer& from, Buffer& to) {
  turned_.rotate(from, to);
  rows_->add_flops(metric_->flops(f_->groups()));
}

void GatedSolver::turn_back(const Buffer& from, Buffer& to) {
  turned_.rotate_back(from, to);
  rows_->add_flops(metric_->flops(f_->groups()));
}

double GatedSolver::group_weight(std::size_t p) const {
  return settings_.group_weights.empty() ? 1.0 : settings_.group_weights[p];
}

double GatedSolver::penalty(const Buffer& w) {
  double sum = 0;
  const std::vector<double> squares = backend_->dots(w, w, f_->groups());
  for (std::size_t p = 0; p < squares.size(); ++p) sum += group_weight(p) * std::sqrt(squares[p]);
  return sum;
}

double GatedSolver::largest_norm(const Buffer& gradient) {
  double largest = 0;
  const std::vector<double> squares = backend_->dots(gradient, gradient, f_->groups());
  for (std::size_t p = 0; p < squares.size(); ++p) largest = std::max(largest, std::sqrt(squares[p]) / group_weight(p));
  return largest;
}

double GatedSolver::bias_for(std::span<const float> z, double start) const {
  return settings_.bias ? optimal_bias(*targets_, z, start, f_->pool()) : 0.0;
}

LossData GatedSolver::losses() const {
  return {&targets_->function(), &labels_, &weights_, margins_.size() > 0 ? &margins_ : nullptr};
}

void GatedSolver::gradient_at(std::span<const float> z, double bias, Buffer& r) {
  loss_derivatives(*targets_, z, bias, theta_, f_->pool());
  backend_->upload(theta_, r);
  backend_->gated_pass(*rows_, {.r = &r, .gradient = &gradient_});
}

double GatedSolver::beta_max() {
  const std::vector<float> zero(f_->rows(), 0.0f);
  Buffer r = backend_->allocate(f_->rows());
  gradient_at(zero, bias_for(zero, 0.0), r);
  return largest_norm(gradient_);
}

double GatedSolver::opening_beta() {
  Buffer r = backend_->allocate(f_->rows());
  gradient_at(current_.z, current_.bias, r);
  const std::vector<double> squares = backend_->dots(gradient_, gradient_, f_->groups());
  double largest = 0;
  for (std::size_t p = 0; p < squares.size(); ++p) {
    if (!(norm(current_.w.row(p)) > 0)) largest = std::max(largest, std::sqrt(squares[p]) / group_weight(p));
  }
  return largest;
}

void GatedSolver::start_from(const Matrix<float>& w, double curvature) {
  current_.w = w;
  backend_->upload(w.values(), direction_);
  turn(direction_, rotated_);
  backend_->gated_pass(*rows_, {.w = &direction_, .z = &z_});
  std::ranges::copy(backend_->read(z_), current_.z.begin());
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
  const std::vector<float> none(f_->rows(), 0.0f);
  const Buffer no_labels = backend_->constant(none);
  // The derivatives of half of the squared predictions are the predictions.
  const LossData squares{&squared_loss(), &no_labels, &weights_, nullptr};
  Buffer turned = backend_->allocate(v.values().size());
  double curvature = 0;
  constexpr int kPowerIterations = 5;
  for (int k = 0; k < kPowerIterations; ++k) {
    const double size = norm(v.values());
    if (!(size > 0)) break;
    for (float& value : v.values()) value = static_cast<float>(value / size);
    backend_->upload(v.values(), turned);
    turn_back(turned, direction_);
    backend_->gated_pass(*rows_, {.w = &direction_, .gradient = &gradient_, .loss = squares});
    turn(gradient_, turned);
    std::ranges::copy(backend_->read(turned), v.values().begin());
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
  backend_->copy(rotated_, at.w);
  backend_->copy(z_, at.z);
  const std::span<const float> z = backend_->read(z_);
  at.bias = bias_for(z, current_.bias);
  at.loss = total_loss(*targets_, z, at.bias, f_->pool());
  gradient_at(z, at.bias, at.r);
  at.bias_gradient = 0;  // at the optimum
  turn(gradient_, at.gradient);
  return gap_at(beta, at, theta_, info);
}

double GatedSolver::gap_at(double beta, const Point& at, std::span<const float> theta, SolveInfo& info) {
  const double largest = largest_norm(at.gradient);
  info.objective = at.loss + beta * penalty(at.w);
  if (theta.empty()) theta = backend_->read(at.r);
  info.dual_objective = dual_value(*targets_, theta, largest > 0 ? beta / largest : HUGE_VAL, f_->pool());
  return info.relative_gap();
}

BackendSums GatedSolver::step(const Point& y, double beta, double momentum, Point& next, Point& ahead) {
  std::vector<double> thresholds(f_->groups());
  for (std::size_t p = 0; p < thresholds.size(); ++p) thresholds[p] = beta * group_weight(p);
  next.bias = settings_.bias ? y.bias - y.bias_gradient / (curvature_ * bias_scale_) : 0.0;
  const double bias_move = next.bias - y.bias;
  backend_->proximal_step({.y = &y.w,
                           .gradient = &y.gradient,
                           .last = &rotated_,
                           .metric = &turned_.scale(),
                           .next = &next.w,
                           .ahead = &ahead.w,
                           .thresholds = thresholds,
                           .curvature = curvature_,
                           .momentum = momentum,
                           .uphill = -bias_scale_ * bias_move * (next.bias - current_.bias),
                           .square = bias_scale_ * bias_move * bias_move});
  turn_back(next.w, direction_);
  const PassAhead pass_ahead{&y.z, &y.r, &z_, &ahead.z, next.bias - y.bias, next.bias - current_.bias};
  backend_->gated_pass(*rows_, {.w = &direction_,
                                .z = &next.z,
                                .r = &ahead.r,
                                .gradient = &gradient_,
                                .loss = losses(),
                                .bias = next.bias,
                                .ahead = &pass_ahead});
  turn(gradient_, ahead.gradient);
  const BackendSums sums = backend_->sums();
  ahead.bias = next.bias + sums.step.factor * (next.bias - current_.bias);
  ahead.loss = sums.pass.ahead_loss;
  ahead.bias_gradient = sums.pass.ahead_slope;
  return sums;
}

SolveInfo GatedSolver::solve(double beta, double tolerance, const Deadline& deadline) {
  const double start_s = monotonic_s();
  const std::uint64_t first_pass = rows_->passes();
  const double first_flops = rows_->flops();
  if (curvature_ == 0) find_scale();

  SolveInfo info;
  const std::size_t weights = f_->groups() * f_->dimension();
  Point y(*backend_, f_->rows(), weights);
  Point next(*backend_, f_->rows(), weights);
  Point ahead(*backend_, f_->rows(), weights);
  Point checked(*backend_, f_->rows(), weights);
  double weight = 0;
  for (const float value : targets_->weights) weight += static_cast<double>(value);
  double best_gap = evaluate_gap(beta, y, info);
  current_.bias = y.bias;
  SolveInfo best_info = info;
  Buffer best_w = backend_->allocate(weights);
  Buffer best_z = backend_->allocate(f_->rows());
  double best_bias = 0;
  const auto keep = [&](const Buffer& w, double bias, const Buffer& z) {
    backend_->copy(w, best_w);
    best_bias = bias;
    backend_->copy(z, best_z);
  };
  keep(rotated_, current_.bias, z_);
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
      const auto [step_sums, sums] = step(y, beta, (momentum - 1) / grown, next, ahead);
      uphill = step_sums.uphill;  // restart when the momentum points there
      if (!std::isfinite(sums.loss) || !std::isfinite(ahead.loss)) {
        throw Error(ErrorCode::BadInput, "the objective is not finite: the features are too large", "scale them down");
      }
      // The step is measured in the predictions, not in the weights: their rounding then enters the loss and the
      // tangent alike, and what it leaves is of second order. Of first order it would outweigh the loss where that is
      // near zero (separable rows), and no step, however short, would look short enough. Rounding of the losses and
      // predictions must not be mistaken for curvature.
      const double error = 0x1p-21 * sums.largest;  // of a prediction, a few units in the last place
      const double slack =
          0.5 * loss_curvature_bound(targets_->loss) * weight * error * error + 0x1p-24 * sums.absolute + 1e-7 * y.loss;
      if (sums.loss <= y.loss + sums.rise + 0.5 * curvature_ * step_sums.square + slack) break;
      // A step of the size of the weights' own rounding: shorter ones tell nothing.
      if (step_sums.square <= 0x1p-44 * step_sums.size) break;
      curvature_ *= 1.6;
    }
    momentum = uphill > 0 ? 1 : grown;
    std::swap(rotated_, next.w);
    std::swap(z_, next.z);
    current_.bias = next.bias;
    std::swap(y, ahead);

    const bool late = deadline.passed();
    const bool check = info.iterations >= check_at || info.iterations >= settings_.max_iterations || late;
    // Without a bias all that a gap needs is known of the point ahead, and on the CPU costs nothing to look at; with
    // one its best bias takes a pass.
    if ((settings_.bias || !backend_->on_host()) && !check) continue;
    const double gap = settings_.bias ? evaluate_gap(beta, checked, info) : gap_at(beta, y, {}, info);
    if (gap < best_gap) {
      best_gap = gap;
      best_info = info;
      if (settings_.bias) {
        keep(rotated_, checked.bias, z_);
      } else {
        keep(y.w, 0.0, y.z);
      }
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
  rotated_ = std::move(best_w);
  z_ = std::move(best_z);
  current_.bias = best_bias;
  if (info.iterations > 0) {
    turn_back(rotated_, direction_);
    std::ranges::copy(backend_->read(direction_), current_.w.values().begin());
    std::ranges::copy(backend_->read(z_), current_.z.begin());
  }
  info.objective = best_info.objective;
  info.dual_objective = best_info.dual_objective;
  info.passes_over_x = rows_->passes() - first_pass;
  info.flops = rows_->flops() - first_flops;
  info.seconds = monotonic_s() - start_s;
  return info;
}

}  // namespace coala
