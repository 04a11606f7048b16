#include "head/phase_two.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "core/error.h"
#include "core/random.h"
#include "core/resources.h"
#include "linalg/blas.h"
#include "linalg/factorisation.h"
#include "solver/conjugate_gradients.h"
#include "solver/loss.h"

namespace coala {
namespace {

/// The objective as a function of x = (theta2, bias); the bias is the last entry when there is one.
class Problem {
 public:
  Problem(const PhaseTwoRows& rows, std::vector<double> centre, const PhaseTwoSettings& settings)
      : rows_(rows), has_bias_(!rows.pairwise), neurons_(rows.activations.cols()), centre_(std::move(centre)) {
    const bool published = settings.objective != PhaseTwoObjective::Preference;
    slope_ = published ? settings.beta_r : 1.0;
    offset_ = settings.objective == PhaseTwoObjective::Pairwise    ? 1 + settings.gamma
              : settings.objective == PhaseTwoObjective::Pointwise ? settings.gamma
                                                                   : 0.0;
    use_margins_ = !published && !rows.margins.empty();
    total_weight_ = std::accumulate(rows.weights.begin(), rows.weights.end(), 0.0);
    ridge_.assign(size(), 0.0);
    for (std::size_t i = 0; i < count(); ++i) {
      for (std::size_t j = 0; j < neurons_; ++j) {
        ridge_[j] += rows.weights[i] * rows.activations(i, j) * rows.activations(i, j) / total_weight_;
      }
    }
    // A neuron that is silent on these rows keeps Phase I's weight: any positive ridge does that.
    for (std::size_t j = 0; j < neurons_; ++j) {
      ridge_[j] = settings.ridge * (ridge_[j] > 0 ? ridge_[j] : 1.0);
    }
  }

  std::size_t size() const { return neurons_ + (has_bias_ ? 1 : 0); }
  std::size_t count() const { return rows_.activations.rows(); }

  /// y z: how far row i is on its right side.
  double margin(std::size_t i, const std::vector<double>& x) const {
    double z = has_bias_ ? x[neurons_] : 0.0;
    const auto a = rows_.activations.row(i);
    for (std::size_t j = 0; j < neurons_; ++j) z += x[j] * a[j];
    return rows_.labels[i] * z;
  }

  double argument(std::size_t i, double margin) const {
    return offset_ + (use_margins_ ? rows_.margins[i] : 0.0) - slope_ * margin;
  }

  struct Means {
    double loss = 0;
    double margin = 0;
  };

  Means means(const std::vector<double>& x) const {
    Means sum;
    for (std::size_t i = 0; i < count(); ++i) {
      const double m = margin(i, x);
      sum.loss += rows_.weights[i] * softplus(argument(i, m));
      sum.margin += rows_.weights[i] * m;
    }
    return {sum.loss / total_weight_, sum.margin / total_weight_};
  }

  double mean_loss(const std::vector<double>& x) const { return means(x).loss; }

  double ridge_value(const std::vector<double>& x) const {
    double sum = 0;
    for (std::size_t j = 0; j < neurons_; ++j) sum += 0.5 * ridge_[j] * (x[j] - centre_[j]) * (x[j] - centre_[j]);
    return sum;
  }

  /// Gradient of mean loss plus ridge; with `curvatures` the second derivative of each row's loss by its score too,
  /// [n].
  std::vector<double> gradient(const std::vector<double>& x, std::vector<double>* curvatures) const {
    std::vector<double> g(size());
    if (curvatures != nullptr) curvatures->resize(count());
    for (std::size_t i = 0; i < count(); ++i) {
      const double q = sigmoid(argument(i, margin(i, x)));
      add_row(i, -rows_.weights[i] * slope_ * rows_.labels[i] * q / total_weight_, g);
      if (curvatures != nullptr) (*curvatures)[i] = rows_.weights[i] * slope_ * slope_ * q * (1 - q) / total_weight_;
    }
    for (std::size_t j = 0; j < neurons_; ++j) g[j] += ridge_[j] * (x[j] - centre_[j]);
    return g;
  }

  Matrix<double> hessian(const std::vector<double>& curvatures) const {
    constexpr std::size_t kBlockRows = 256;
    Matrix<double> h(size(), size());
    Matrix<double> block(kBlockRows, size());
    for (std::size_t at = 0; at < count(); at += kBlockRows) {
      const std::size_t rows = std::min(kBlockRows, count() - at);
      for (std::size_t k = 0; k < rows; ++k) {
        const double root = std::sqrt(curvatures[at + k]);
        const auto a = rows_.activations.row(at + k);
        for (std::size_t j = 0; j < neurons_; ++j) block(k, j) = root * a[j];
        if (has_bias_) block(k, neurons_) = root;
      }
      const MatrixView<const double> used(block.data(), rows, size());
      gemm(true, false, 1.0, used, used, 1.0, h.view());
    }
    for (std::size_t j = 0; j < neurons_; ++j) h(j, j) += ridge_[j];
    return h;
  }

  /// out := H v, without H.
  void multiply(const std::vector<double>& curvatures, std::span<const double> v, std::span<double> out) const {
    std::vector<double> sum(size());
    for (std::size_t i = 0; i < count(); ++i) {
      double z = has_bias_ ? v[neurons_] : 0.0;
      const auto a = rows_.activations.row(i);
      for (std::size_t j = 0; j < neurons_; ++j) z += v[j] * a[j];
      add_row(i, curvatures[i] * z, sum);
    }
    for (std::size_t j = 0; j < size(); ++j) out[j] = sum[j] + (j < neurons_ ? ridge_[j] * v[j] : 0.0);
  }

  std::vector<double> hessian_diagonal(const std::vector<double>& curvatures) const {
    std::vector<double> diagonal(size());
    for (std::size_t i = 0; i < count(); ++i) {
      const auto a = rows_.activations.row(i);
      for (std::size_t j = 0; j < neurons_; ++j) diagonal[j] += curvatures[i] * a[j] * a[j];
      if (has_bias_) diagonal[neurons_] += curvatures[i];
    }
    for (std::size_t j = 0; j < neurons_; ++j) diagonal[j] += ridge_[j];
    return diagonal;
  }

  /// Gradient of the mean loss over some rows, without the ridge (for AdamW, which decays the weights itself).
  std::vector<double> batch_gradient(const std::vector<double>& x, std::span<const std::size_t> batch) const {
    std::vector<double> g(size());
    for (const std::size_t i : batch) {
      const double weight = rows_.weights[i] * static_cast<double>(count()) / total_weight_;  // 1 when all are alike
      add_row(
          i,
          -weight * slope_ * rows_.labels[i] * sigmoid(argument(i, margin(i, x))) / static_cast<double>(batch.size()),
          g);
    }
    return g;
  }

  /// A bound of the largest eigenvalue of the Hessian, from the trace.
  double lipschitz() const {
    double bound = 0;
    for (std::size_t i = 0; i < count(); ++i) {
      double square = has_bias_ ? 1.0 : 0.0;
      for (const double a : rows_.activations.row(i)) square += a * a;
      bound += rows_.weights[i] * slope_ * slope_ * 0.25 * square / total_weight_;
    }
    return bound + (ridge_.empty() ? 0.0 : *std::max_element(ridge_.begin(), ridge_.end()));
  }

 private:
  void add_row(std::size_t i, double factor, std::vector<double>& g) const {
    const auto a = rows_.activations.row(i);
    for (std::size_t j = 0; j < neurons_; ++j) g[j] += factor * a[j];
    if (has_bias_) g[neurons_] += factor;
  }

  const PhaseTwoRows& rows_;
  bool has_bias_;
  std::size_t neurons_;
  std::vector<double> centre_;
  std::vector<double> ridge_;
  double slope_ = 1;
  double offset_ = 0;
  bool use_margins_ = false;
  double total_weight_ = 0;
};

/// Adds x to the curves; its mean loss.
double record(const Problem& problem, const std::vector<double>& x, PhaseTwoResult& result) {
  const Problem::Means means = problem.means(x);
  result.objective_curve.push_back(means.loss);
  result.margin_curve.push_back(means.margin);
  return means.loss;
}

double norm(const std::vector<double>& v) {
  return std::sqrt(dot(std::span<const double>(v), v));
}

constexpr double kGradientTolerance = 1e-10;

/// H^{-1} g by factorisation; empty when no damping makes H positive definite.
std::optional<std::vector<double>> direct_step(const Matrix<double>& hessian, const std::vector<double>& g) {
  // Separable rows without a bias penalty may leave the Hessian singular to rounding: a little damping then.
  for (double damping = 0; damping <= 1e6; damping = damping == 0 ? 1e-12 : damping * 100) {
    Matrix<double> damped = hessian;
    for (std::size_t j = 0; j < g.size(); ++j) damped(j, j) += damping * (1 + hessian(j, j));
    const std::optional<Cholesky> factor = Cholesky::factor(std::move(damped));
    if (!factor) continue;
    std::vector<double> step = g;
    factor->solve(step);
    return step;
  }
  return std::nullopt;
}

/// H^{-1} g by conjugate gradients, scaled by H's diagonal: for so many neurons that H itself is too large. The nearer
/// the solution, the more exact, so that convergence stays faster than linear.
/// @throws Late
std::vector<double> iterative_step(const Problem& problem, const std::vector<double>& curvatures,
                                   const std::vector<double>& g, const Deadline& deadline, double& flops) {
  constexpr int kMostIterations = 1000;
  const std::vector<double> diagonal = problem.hessian_diagonal(curvatures);
  const auto apply = [&](std::span<const double> in, std::span<double> out) {
    deadline.check();
    problem.multiply(curvatures, in, out);
    flops += 4.0 * static_cast<double>(problem.count() * problem.size());
  };
  const auto precondition = [&](std::span<const double> in, std::span<double> out) {
    for (std::size_t j = 0; j < in.size(); ++j) out[j] = diagonal[j] > 0 ? in[j] / diagonal[j] : in[j];
  };
  std::vector<double> step(g.size());
  conjugate_gradients(apply, precondition, g, step, {std::min(0.1, std::sqrt(norm(g))), 0, kMostIterations});
  return step;
}

/// @throws Late, with x and the result as of the last step
void newton(const Problem& problem, const Deadline& deadline, std::vector<double>& x, PhaseTwoResult& result) {
  constexpr int kMostSteps = 100;
  constexpr std::size_t kMostDirect = 512;  ///< unknowns of a system that is made and factorised
  result.status = SolveStatus::IterationLimit;
  std::vector<double> curvatures;
  for (;;) {
    const std::vector<double> g = problem.gradient(x, &curvatures);
    result.gradient_norm = norm(g);
    if (result.gradient_norm <= kGradientTolerance) {
      result.status = SolveStatus::Solved;
      return;
    }
    if (result.iterations >= kMostSteps) return;
    deadline.check();
    std::optional<std::vector<double>> step;
    if (x.size() <= kMostDirect) {
      step = direct_step(problem.hessian(curvatures), g);
      result.flops += 2.0 * static_cast<double>(problem.count() * x.size() * x.size());
    } else {
      step = iterative_step(problem, curvatures, g, deadline, result.flops);
    }
    if (!step) {
      result.status = SolveStatus::Stalled;
      return;
    }
    const double slope = dot(std::span<const double>(g), *step);
    const double value = problem.mean_loss(x) + problem.ridge_value(x);
    bool moved = false;
    for (double t = 1; t > 1e-10; t /= 2) {
      std::vector<double> trial = x;
      for (std::size_t j = 0; j < x.size(); ++j) trial[j] -= t * (*step)[j];
      // Near the solution the decrease drowns in rounding: accept what does not raise the value by more than that.
      const double trial_value = problem.mean_loss(trial) + problem.ridge_value(trial);
      if (!(trial_value <= value - 1e-4 * t * slope + 4e-16 * std::abs(value))) continue;
      x = std::move(trial);
      moved = true;
      break;
    }
    if (!moved) {
      result.status = SolveStatus::Stalled;
      return;
    }
    ++result.iterations;
    record(problem, x, result);
  }
}

/// @throws Late, with x and the result as of the last step
void accelerated(const Problem& problem, const Deadline& deadline, std::vector<double>& x, PhaseTwoResult& result) {
  constexpr int kMostSteps = 20000;
  const double step = 1 / problem.lipschitz();
  std::vector<double> y = x;
  double momentum = 1;
  result.status = SolveStatus::IterationLimit;
  while (result.iterations < kMostSteps) {
    deadline.check();
    const std::vector<double> g = problem.gradient(y, nullptr);
    result.gradient_norm = norm(g);
    if (result.gradient_norm <= kGradientTolerance) {
      x = y;
      result.status = SolveStatus::Solved;
      return;
    }
    std::vector<double> next = y;
    double uphill = 0;
    for (std::size_t j = 0; j < x.size(); ++j) {
      next[j] -= step * g[j];
      uphill += g[j] * (next[j] - x[j]);
    }
    if (uphill > 0) momentum = 1;  // adaptive restart
    const double grown = (1 + std::sqrt(1 + 4 * momentum * momentum)) / 2;
    const double factor = uphill > 0 ? 0 : (momentum - 1) / grown;
    momentum = grown;
    for (std::size_t j = 0; j < x.size(); ++j) y[j] = next[j] + factor * (next[j] - x[j]);
    x = std::move(next);
    ++result.iterations;
    record(problem, x, result);
  }
  result.gradient_norm = norm(problem.gradient(x, nullptr));
}

/// Ends at the deadline with the best epoch.
void adamw(const Problem& problem, const PhaseTwoSettings& settings, const Deadline& deadline, std::vector<double>& x,
           PhaseTwoResult& result) {
  constexpr double kLearningRate = 1e-4;
  constexpr double kWeightDecay = 1e-4;
  constexpr double kFirst = 0.9;
  constexpr double kSecond = 0.999;
  constexpr double kEpsilon = 1e-8;
  constexpr std::size_t kBatch = 128;
  Random random(settings.seed);
  std::vector<std::size_t> order(problem.count());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::vector<double> first(x.size());
  std::vector<double> second(x.size());
  std::vector<double> best = x;
  double best_loss = problem.mean_loss(x);
  double first_power = 1;
  double second_power = 1;
  result.status = SolveStatus::IterationLimit;
  for (int epoch = 0; epoch < settings.epochs; ++epoch) {
    if (deadline.passed()) {
      result.status = SolveStatus::TimeLimit;
      break;
    }
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
    for (std::size_t at = 0; at < order.size(); at += kBatch) {
      const std::size_t size = std::min(kBatch, order.size() - at);
      const std::vector<double> g = problem.batch_gradient(x, std::span(order).subspan(at, size));
      first_power *= kFirst;
      second_power *= kSecond;
      for (std::size_t j = 0; j < x.size(); ++j) {
        first[j] = kFirst * first[j] + (1 - kFirst) * g[j];
        second[j] = kSecond * second[j] + (1 - kSecond) * g[j] * g[j];
        x[j] -= kLearningRate * (kWeightDecay * x[j] +
                                 first[j] / (1 - first_power) / (std::sqrt(second[j] / (1 - second_power)) + kEpsilon));
      }
    }
    ++result.iterations;
    const double loss = record(problem, x, result);
    if (loss < best_loss) {
      best_loss = loss;
      best = x;
    }
  }
  x = best;
  result.gradient_norm = norm(problem.gradient(x, nullptr));
}

}  // namespace

PhaseTwoResult fit_phase_two(const PhaseTwoRows& rows, const std::vector<double>& theta2, double bias,
                             const PhaseTwoSettings& settings, const Deadline& deadline) {
  if (settings.objective == PhaseTwoObjective::Pairwise && !rows.pairwise) {
    throw Error(ErrorCode::BadUsage, "the pairwise Phase II objective needs preference pairs, these are labelled rows",
                "use --phase2-objective preference or pointwise");
  }
  const double start_s = monotonic_s();
  const Problem problem(rows, theta2, settings);
  std::vector<double> x = theta2;
  if (!rows.pairwise) x.push_back(bias);

  PhaseTwoResult result;
  result.objective_before = record(problem, x, result);
  try {
    switch (settings.solver) {
      case PhaseTwoSolver::Newton:
        newton(problem, deadline, x, result);
        break;
      case PhaseTwoSolver::Accelerated:
        accelerated(problem, deadline, x, result);
        break;
      case PhaseTwoSolver::AdamW:
        adamw(problem, settings, deadline, x, result);
        break;
    }
  } catch (const Late&) {
    result.status = SolveStatus::TimeLimit;
  }
  result.objective = problem.mean_loss(x);
  result.bias = rows.pairwise ? 0.0 : x.back();
  x.resize(theta2.size());
  result.theta2 = std::move(x);
  result.seconds = monotonic_s() - start_s;
  result.flops += 6.0 * result.iterations * static_cast<double>(problem.count() * problem.size());
  return result;
}

}  // namespace coala
