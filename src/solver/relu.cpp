#include "solver/relu.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/resources.h"
#include "linalg/blas.h"
#include "solver/conjugate_gradients.h"

namespace coala {
namespace {

constexpr double kRelaxation = 1.6;
constexpr int kCheckEvery = 10;
constexpr int kRoundsOfAStep = 1;      ///< constraints join between iterations; a check waits for all of them
constexpr int kRoundsOfACheck = 1000;  ///< each adds a constraint or is the last: in practice a few
constexpr double kBalance = 0.5;       ///< wanted ratio of the primal to the dual residual: fewest iterations, measured
constexpr double kBalanceSpacing = 1.2;  ///< changes of rho become rare, so that they do not keep ADMM from converging
constexpr int kPatience = 40;            ///< checks without a gap that is one per cent better: nothing more will come
constexpr int kMostCgIterations = 200;
constexpr std::size_t kUsualCgIterations = 100;  ///< of all u-steps together where d is small; the least measured
constexpr double kCgFloor = 1e-8;                ///< relative residual below which single precision has nothing to give
constexpr double kCgShare = 0.1;                 ///< error of the u-step as a share of the smaller outer residual
constexpr double kFirstResidual = 1e-3;          ///< taken for the outer residuals before there are any
constexpr double kIterationShare = 0.7;          ///< of the time that is left, when a check has to follow

void require_finite(std::span<const float> v) {
  if (!std::ranges::all_of(v, [](float value) { return std::isfinite(value); })) {
    throw Error(ErrorCode::BadInput, "the sums over the features overflow single precision",
                "standardise the features or scale them down");
  }
}

void require_valid(MatrixView<const float> x, std::span<const float> y, MatrixView<const float> gates) {
  if (x.rows == 0 || x.cols == 0 || y.size() != x.rows || gates.cols != x.cols || gates.rows == 0) {
    throw Error(ErrorCode::BadInput,
                "the convex ReLU program needs rows, one label for each, and gates of the same "
                "width: found X [" +
                    std::to_string(x.rows) + ", " + std::to_string(x.cols) + "], " + std::to_string(y.size()) +
                    " labels, gates [" + std::to_string(gates.rows) + ", " + std::to_string(gates.cols) + "]");
  }
  const auto finite = [](std::span<const float> v) {
    return std::ranges::all_of(v, [](float value) { return std::isfinite(value); });
  };
  for (std::size_t i = 0; i < x.rows; ++i) {
    if (!finite(x.row(i)) || !std::isfinite(y[i])) {
      throw Error(ErrorCode::BadInput, "row " + std::to_string(i) + " has a number that is not finite");
    }
  }
  for (std::size_t p = 0; p < gates.rows; ++p) {
    if (!finite(gates.row(p))) {
      throw Error(ErrorCode::BadInput, "gate " + std::to_string(p) + " has a number that is not finite");
    }
  }
}

}  // namespace

struct ReluSolver::Run {
  Matrix<double> u;  ///< the best feasible point, in units of X / unit_
  double objective = std::numeric_limits<double>::infinity();
  double bound = -std::numeric_limits<double>::infinity();
  ReluDual dual;

  double gap() const {
    const double size = std::max(std::abs(objective), std::abs(bound));
    return size > 0 ? (objective - bound) / size : 0.0;
  }
};

ReluSolver::ReluSolver(MatrixView<const float> x, std::span<const float> y, MatrixView<const float> gates,
                       ThreadPool& pool, const Deadline& deadline)
    : x_((require_valid(x, y, gates), x)),
      y_(y.begin(), y.end()),
      gates_(gates.rows, gates.cols),
      pool_(&pool),
      deadline_(deadline),
      cones_({x}, gates, pool, deadline),
      f_(DesignRows<float>{{{x, {}}}}, cones_.pattern(), pool),
      spectrum_(row_spectrum(x, pool, deadline)) {
  for (std::size_t p = 0; p < gates.rows; ++p) std::ranges::copy(gates.row(p), gates_.row(p).begin());
  unit_ = spectrum_.values.empty() ? 1.0 : std::sqrt(spectrum_.values.front());
  fty_ = Matrix<float>(gates.rows, x.cols);
  f_.adjoint(y_, fty_.view());
  require_finite(fty_.values());
  u_ = v_ = before_ = lambda_ = Matrix<double>(2 * gates.rows, x.cols);
  a_.assign(gates.rows * x.cols, 0.0);
  v_slots_ = slots();
  dual_slots_ = slots();
}

std::vector<ConeSet::Slot> ReluSolver::slots() const {
  std::vector<ConeSet::Slot> result(2 * gates_.rows());
  for (std::size_t s = 0; s < result.size(); ++s) result[s].cone = s % gates_.rows();
  return result;
}

double ReluSolver::project_gradient(const Matrix<float>& gradient, Matrix<double>& projected) {
  const std::size_t groups = gates_.rows();
  Matrix<double> q(2 * groups, x_.cols);
  for (std::size_t p = 0; p < groups; ++p) {
    for (std::size_t j = 0; j < x_.cols; ++j) {
      q(p, j) = -static_cast<double>(gradient(p, j)) / unit_;
      q(groups + p, j) = -q(p, j);
    }
  }
  projected = Matrix<double>(2 * groups, x_.cols);
  cones_.nearest(dual_slots_, q, projected, kRoundsOfACheck);
  double largest = 0;
  for (std::size_t s = 0; s < 2 * groups; ++s) largest = std::max(largest, norm(projected.row(s)));
  return largest;
}

double ReluSolver::beta_max() {
  Matrix<float> gradient = fty_;
  for (float& value : gradient.values()) value = -value;
  Matrix<double> projected;
  return unit_ * project_gradient(gradient, projected);
}

/// What only a solve needs: F'F, the preconditioner, and rho at the mean curvature of the loss.
void ReluSolver::prepare() {
  normal_.emplace(f_, cones_.pattern(), kUsualCgIterations, NormalMethod::Cheapest, deadline_);
  system_.emplace(*normal_, spectrum_);
  moments_ = gate_moments(x_, cones_.pattern(), spectrum_, *pool_, {}, deadline_);
  preconditioner_.emplace(spectrum_, moments_, gates_.rows(), deadline_);
  double trace = 0;
  for (const double value : spectrum_.values) trace += value / spectrum_.values.front();
  rho_ = trace / static_cast<double>(spectrum_.values.size());
}

/// u: (I + 2/rho F'F) a = (v - lambda)_a + sqrt2/rho F'y; the half-sum is that of v - lambda.
void ReluSolver::solve_u(double tolerance) {
  const std::size_t half = a_.size();
  const NormalCoefficients coefficients{1, 0, 2 / (rho_ * unit_ * unit_)};
  system_->set(coefficients);
  std::vector<double> rhs(half);
  const std::span<const double> v = v_.values();
  const std::span<const double> lambda = lambda_.values();
  const double root = std::sqrt(0.5);
  for (std::size_t k = 0; k < half; ++k) {
    const double plus = v[k] - lambda[k];
    const double minus = v[half + k] - lambda[half + k];
    rhs[k] = root * (plus - minus) + std::sqrt(2.0) / (rho_ * unit_) * static_cast<double>(fty_.values()[k]);
  }
  const auto apply = [&](auto in, auto out) {
    working_until_.check();
    system_->apply(in, out);
  };
  const PcgResult cg = conjugate_gradients(apply, [&](auto in, auto out) { preconditioner_->apply(in, out); }, rhs, a_,
                                           {kCgFloor, tolerance, kMostCgIterations});
  cg_iterations_ += cg.iterations;
  for (std::size_t k = 0; k < half; ++k) {
    const double sum = root * (v[k] - lambda[k] + v[half + k] - lambda[half + k]);
    u_.values()[k] = root * (sum + a_[k]);
    u_.values()[half + k] = root * (sum - a_[k]);
  }
}

/// v = prox of beta/rho ||.|| + indicator of the cones at u + lambda: project, then shrink. lambda += u - v.
void ReluSolver::update_v(double threshold) {
  for (std::size_t k = 0; k < v_.values().size(); ++k) {
    lambda_.values()[k] += kRelaxation * u_.values()[k] + (1 - kRelaxation) * v_.values()[k];
  }
  cones_.nearest(v_slots_, lambda_, v_, kRoundsOfAStep);
  double primal = 0;
  double change = 0;
  double alive = 0;
  for (std::size_t s = 0; s < v_.rows(); ++s) {
    const double size = norm(v_.row(s));
    const double factor = size > threshold ? 1 - threshold / size : 0.0;
    if (factor > 0) ++alive;
    for (std::size_t j = 0; j < v_.cols(); ++j) {
      v_(s, j) *= factor;
      lambda_(s, j) -= v_(s, j);
      primal += (u_(s, j) - v_(s, j)) * (u_(s, j) - v_(s, j));
      change += (v_(s, j) - before_(s, j)) * (v_(s, j) - before_(s, j));
    }
  }
  const double size = alive > 0 ? norm(v_.values()) : norm(u_.values());
  // Nearly all of lambda balances the constraints; the part that balances the penalty is what v has to settle against.
  const double dual_size = std::sqrt(threshold * std::sqrt(alive) * norm(lambda_.values()));
  primal_residual_ = size > 0 ? std::sqrt(primal) / size : 0.0;
  dual_residual_ = dual_size > 0 ? std::sqrt(change) / dual_size : 0.0;
}

/// Keeps the two relative residuals alike. A change costs nothing but the scale of lambda and a small factorisation.
void ReluSolver::balance() {
  if (!(primal_residual_ > 0)) return;
  double factor = 5;  // v has not left zero: the threshold beta / rho is too high
  if (dual_residual_ > 0) factor = std::clamp(std::sqrt(primal_residual_ / (kBalance * dual_residual_)), 0.5, 2.0);
  if (factor < 1.5 && factor > 1 / 1.5) return;
  rho_ *= factor;
  for (double& value : lambda_.values()) value /= factor;
  preconditioner_->set({1, 0, 2 / (rho_ * unit_ * unit_)});
}

/// The feasible point nearest to v with its objective, and the dual point of the residual at u with its bound.
void ReluSolver::check(double beta, Run& run) {
  const std::size_t groups = gates_.rows();
  Matrix<double> feasible(2 * groups, x_.cols);
  std::vector<ConeSet::Slot> fresh = slots();
  const bool inside = cones_.nearest(fresh, v_, feasible, kRoundsOfACheck);

  double penalty = 0;
  for (std::size_t s = 0; s < 2 * groups; ++s) penalty += norm(feasible.row(s)) / unit_;
  std::vector<double> theta(y_.size());
  Matrix<float> gradient(groups, x_.cols);
  double square = 0;
  double linear = 0;
  const auto residuals = [&](const Matrix<double>& weights) {
    Matrix<float> difference(groups, x_.cols);
    for (std::size_t k = 0; k < difference.values().size(); ++k) {
      const double value = weights.values()[k] - weights.values()[difference.values().size() + k];
      difference.values()[k] = static_cast<float>(value / unit_);
    }
    f_.fused(
        static_cast<const Matrix<float>&>(difference).view(),
        [&](std::size_t row, float z) {
          theta[row] = static_cast<double>(z) - y_[row];
          return static_cast<float>(theta[row]);
        },
        gradient.view());
    square = linear = 0;
    for (std::size_t i = 0; i < theta.size(); ++i) {
      square += theta[i] * theta[i];
      linear += theta[i] * y_[i];
    }
  };
  residuals(feasible);
  const double objective = square / 2 + beta * penalty;
  if (inside && objective < run.objective) {
    run.objective = objective;
    run.u = feasible;
  }
  residuals(u_);

  require_finite(gradient.values());
  Matrix<double> projected;
  const double largest = unit_ * project_gradient(gradient, projected);
  const double limit = largest > 0 ? beta / largest : std::numeric_limits<double>::infinity();
  const double t = square > 0 ? std::clamp(-linear / square, 0.0, limit) : 0.0;
  const double bound = -t * t * square / 2 - t * linear;
  if (bound > run.bound) {
    run.bound = bound;
    run.dual.theta = std::move(theta);
    run.dual.multipliers.clear();
    for (const ConeSet::Slot& slot : dual_slots_) {
      auto& multipliers = run.dual.multipliers.emplace_back(cones_.multipliers(slot));
      for (auto& entry : multipliers) entry.second *= unit_;
    }
  }
}

void ReluSolver::iterate(const ReluSettings& settings, Run& run, SolveInfo& info) {
  primal_residual_ = dual_residual_ = kFirstResidual;
  double best_gap = run.gap();
  int waited = 0;
  double next_balance = 0;
  for (int k = 1; k <= settings.max_iterations; ++k) {
    if (interrupted()) {
      info.status = SolveStatus::Interrupted;
      return;
    }
    before_ = v_;
    // M is at least the identity, so an error of a is at most the residual. Before v has left zero, lambda is its
    // measure.
    const double size = norm(v_.values()) > 0 ? norm(v_.values()) : norm(lambda_.values());
    const double residual = dual_residual_ > 0 ? std::min(primal_residual_, dual_residual_) : primal_residual_;
    solve_u(kCgShare * residual * size);
    update_v(settings.beta / (unit_ * rho_));
    info.iterations = k;
    if (k % kCheckEvery == 0 || k == settings.max_iterations) {
      check(settings.beta, run);
      if (settings.observer) {
        settings.observer({k, run.objective, run.bound, rho_, primal_residual_, dual_residual_, cg_iterations_});
      }
      waited = run.gap() < 0.99 * best_gap ? 0 : waited + 1;
      best_gap = std::min(best_gap, run.gap());
      if (best_gap <= settings.tolerance) {
        info.status = SolveStatus::Solved;
        return;
      }
      if (waited >= kPatience) {
        info.status = SolveStatus::Stalled;
        return;
      }
    }
    if ((k % kCheckEvery == 0 && k >= next_balance) || (k % 2 == 0 && !(dual_residual_ > 0))) {
      balance();
      next_balance = kBalanceSpacing * k;
    }
  }
}

ReluResult ReluSolver::solve(const ReluSettings& settings) {
  if (!(settings.beta > 0) || !std::isfinite(settings.beta) || !(settings.tolerance > 0) ||
      settings.max_iterations < 1) {
    throw Error(ErrorCode::BadUsage,
                "the convex ReLU program needs beta > 0 (found " + std::to_string(settings.beta) +
                    "), a tolerance above 0 and at least one iteration",
                "without a penalty no dual point is feasible and nothing can be certified");
  }
  const double start_s = monotonic_s();
  const std::size_t slots_count = 2 * gates_.rows();
  const auto passes = [&] { return f_.passes() + cones_.passes() + (normal_ ? normal_->passes() : 0); };
  const auto flops = [&] { return f_.flops() + (normal_ ? normal_->flops() : 0.0); };
  const std::uint64_t first_pass = passes();
  const double first_flops = flops();
  cg_iterations_ = 0;
  ReluResult result;
  result.info.status = SolveStatus::IterationLimit;

  Run run;
  check(settings.beta, run);
  const double without_neurons = run.objective;
  if (run.gap() <= settings.tolerance) {
    result.info.status = SolveStatus::Solved;
  } else {
    if (!preconditioner_) prepare();
    preconditioner_->set({1, 0, 2 / (rho_ * unit_ * unit_)});
    working_until_ = deadline_.share(kIterationShare);
    cones_.set_deadline(working_until_);
    try {
      iterate(settings, run, result.info);
    } catch (const Late&) {
      result.info.status = SolveStatus::TimeLimit;
      v_ = before_;
      cones_.set_deadline(deadline_);
      try {
        check(settings.beta, run);
      } catch (const Late&) {  // then the point of an earlier check
        if (!(run.objective < without_neurons)) throw;
      }
    }
    cones_.set_deadline(deadline_);
  }

  result.u = std::move(run.u);
  for (double& value : result.u.values()) value /= unit_;
  result.dual = std::move(run.dual);
  result.certificate = certify_relu(x_, y_, gates_.view(), result.u.view(), result.dual, settings.beta);
  Signed<double> halves{Matrix<double>(gates_.rows(), x_.cols), Matrix<double>(gates_.rows(), x_.cols)};
  for (std::size_t s = 0; s < slots_count; ++s) {
    std::ranges::copy(result.u.row(s), halves[s / gates_.rows()].row(s % gates_.rows()).begin());
  }
  result.network = relu_weights(halves);
  result.info.objective = result.certificate.objective;
  result.info.dual_objective = result.certificate.dual_objective;
  result.info.cg_iterations = cg_iterations_;
  result.info.passes_over_x = passes() - first_pass;
  result.info.flops = flops() - first_flops;
  result.info.seconds = monotonic_s() - start_s;
  return result;
}

}  // namespace coala
