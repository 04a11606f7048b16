#include "solver/linear.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/resources.h"
#include "linalg/blas.h"
#include "linalg/factorisation.h"
#include "solver/prediction.h"

namespace coala {

Matrix<double> weighted_gram(const DesignRows<float>& rows, std::span<const float> weights, ThreadPool& pool) {
  constexpr std::size_t kBlockRows = 256;
  constexpr std::size_t kTile = 128;
  const std::size_t d = rows.dimension();
  const std::size_t strips = (d + kTile - 1) / kTile;
  Matrix<double> gram(d, d);
  std::vector<float> roots(weights.size());
  for (std::size_t i = 0; i < roots.size(); ++i) roots[i] = std::sqrt(weights[i]);

  /// Columns [first, first + width) of a block of rows, scaled.
  const auto take = [&](const auto& segment, std::size_t at, std::size_t row, std::size_t count, std::size_t first,
                        std::size_t width, Matrix<float>& to) {
    std::vector<float> minus(width);
    for (std::size_t i = 0; i < count; ++i) {
      const std::span<float> out = to.row(i).first(width);
      rows.read(segment.plus, at + i, first, out);
      if (segment.minus.rows() > 0) rows.read(segment.minus, at + i, first, minus);
      for (std::size_t j = 0; j < width; ++j) out[j] = roots[row + i] * (out[j] - minus[j]);
    }
  };
  // Each tile of the result is summed over all rows by one thread, in one order: the same bits on every machine size.
  const auto fill_tile = [&](std::size_t a, std::size_t b) {
    const std::size_t width_a = std::min(kTile, d - a * kTile);
    const std::size_t width_b = std::min(kTile, d - b * kTile);
    Matrix<float> left(kBlockRows, kTile);
    Matrix<float> right(kBlockRows, kTile);
    Matrix<float> product(kTile, kTile);
    std::size_t first_row = 0;
    for (const auto& segment : rows.segments) {
      for (std::size_t at = 0; at < segment.plus.rows(); at += kBlockRows) {
        const std::size_t count = std::min(kBlockRows, segment.plus.rows() - at);
        take(segment, at, first_row + at, count, a * kTile, width_a, left);
        if (a != b) take(segment, at, first_row + at, count, b * kTile, width_b, right);
        const MatrixView<const float> of_a(left.data(), count, width_a, kTile);
        const MatrixView<const float> of_b(a != b ? right.data() : left.data(), count, width_b, kTile);
        // Single precision within a block, double between blocks: the error stays at that of 256 terms.
        gemm(true, false, 1.0f, of_a, of_b, 0.0f, MatrixView<float>(product.data(), width_a, width_b, kTile));
        for (std::size_t i = 0; i < width_a; ++i) {
          for (std::size_t j = 0; j < width_b; ++j) gram(a * kTile + i, b * kTile + j) += product(i, j);
        }
      }
      first_row += segment.plus.rows();
    }
    for (std::size_t i = 0; a != b && i < width_a; ++i) {
      for (std::size_t j = 0; j < width_b; ++j) gram(b * kTile + j, a * kTile + i) = gram(a * kTile + i, b * kTile + j);
    }
  };
  std::vector<std::pair<std::size_t, std::size_t>> tiles;
  for (std::size_t a = 0; a < strips; ++a) {
    for (std::size_t b = a; b < strips; ++b) tiles.emplace_back(a, b);
  }
  const std::size_t grain = rows.rows() * d < 64 * 1024 ? tiles.size() : 1;
  pool.for_parts(tiles.size(), grain, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t k = begin; k < end; ++k) fill_tile(tiles[k].first, tiles[k].second);
  });
  return gram;
}

LinearSolver::LinearSolver(GatedOperator<float>& f, const Targets& targets, const Matrix<double>& gram, bool bias)
    : f_(&f), targets_(&targets), gram_(&gram), bias_(bias) {
  current_.w = Matrix<float>(1, f.dimension());
  current_.z.assign(f.rows(), 0.0f);
  current_.bias = bias ? optimal_bias(targets, current_.z, 0.0, f.pool()) : 0.0;
}

SolveInfo LinearSolver::solve(double lambda, double tolerance, const Deadline& deadline) {
  const double start_s = monotonic_s();
  const std::uint64_t first_pass = f_->passes();
  const double first_flops = f_->flops();
  const std::size_t n = f_->rows();
  const std::size_t d = f_->dimension();
  SolveInfo info;
  info.status = SolveStatus::IterationLimit;

  std::vector<float> r(n);
  std::vector<float> curvature(n);
  Matrix<float> pass(1, d);
  // The bias is eliminated: with it at its optimum for the current w, the reduced Hessian is
  // X'(C - C 1 1'C / 1'C 1) X + lambda I, which conjugate gradients see through its product.
  const auto hessian = [&](std::span<const double> v, std::span<double> out) {
    Matrix<float> direction(1, d);
    for (std::size_t j = 0; j < d; ++j) direction(0, j) = static_cast<float>(v[j]);
    std::vector<float> z(n);
    f_->forward(direction.view(), z);
    double weighted = 0;
    double weight = 0;
    if (bias_) {
      for (std::size_t i = 0; i < n; ++i) {
        weighted += static_cast<double>(curvature[i]) * z[i];
        weight += static_cast<double>(curvature[i]);
      }
    }
    const auto mean = static_cast<float>(weight > 0 ? weighted / weight : 0.0);
    for (std::size_t i = 0; i < n; ++i) z[i] = curvature[i] * (z[i] - mean);
    f_->adjoint(z, pass.view());
    for (std::size_t j = 0; j < d; ++j) out[j] = static_cast<double>(pass(0, j)) + lambda * v[j];
  };

  constexpr int kMostNewtonSteps = 50;
  double loss = total_loss(*targets_, current_.z, current_.bias, f_->pool());
  std::vector<double> gradient(d);
  std::vector<double> step(d);
  for (;; ++info.iterations) {
    loss_derivatives(*targets_, current_.z, current_.bias, r, f_->pool());
    f_->adjoint(r, pass.view());
    const auto w = current_.w.row(0);
    for (std::size_t j = 0; j < d; ++j) gradient[j] = static_cast<double>(pass(0, j)) + lambda * w[j];
    const double size = std::sqrt(dot(std::span<const double>(gradient), gradient));
    if (!std::isfinite(size) || !std::isfinite(loss)) {
      throw Error(ErrorCode::BadInput, "the objective is not finite: the features are too large", "scale them down");
    }
    if (gradient_at_zero_ == 0) gradient_at_zero_ = size;  // the first call starts at zero
    const double square = dot(std::span<const float>(w), w);
    info.objective = loss + 0.5 * lambda * square;
    // Dual of the ridge term: theta itself is feasible, at the cost of ||X'theta||^2 / (2 lambda).
    const auto g = pass.row(0);
    info.dual_objective =
        dual_value_at(*targets_, r, 1.0, f_->pool()) - dot(std::span<const float>(g), g) / (2 * lambda);
    if (!(size > tolerance * gradient_at_zero_)) {
      info.status = SolveStatus::Solved;
      break;
    }
    if (interrupted()) {
      info.status = SolveStatus::Interrupted;
      break;
    }
    if (info.iterations > 0 && deadline.passed()) {
      info.status = SolveStatus::TimeLimit;
      break;
    }
    if (info.iterations >= kMostNewtonSteps) break;

    double mean_curvature = 0;
    double weight = 0;
    for (std::size_t i = 0; i < n; ++i) {
      curvature[i] =
          static_cast<float>(loss_curvature(*targets_, i, static_cast<double>(current_.z[i]) + current_.bias));
      mean_curvature += static_cast<double>(curvature[i]);
      weight += static_cast<double>(targets_->weights[i]);
    }
    mean_curvature = weight > 0 ? mean_curvature / weight : 0;
    Matrix<double> system = *gram_;
    for (double& value : system.values()) value *= mean_curvature;
    for (std::size_t j = 0; j < d; ++j) system(j, j) += lambda;
    const std::optional<Cholesky> factor = Cholesky::factor(std::move(system));
    const auto precondition = [&](std::span<double> v) {
      if (factor) factor->solve(v);
    };

    // Preconditioned conjugate gradients on H step = -gradient, only as exact as the outer iteration can use.
    std::fill(step.begin(), step.end(), 0.0);
    std::vector<double> residual(d);
    for (std::size_t j = 0; j < d; ++j) residual[j] = -gradient[j];
    std::vector<double> z = residual;
    precondition(z);
    std::vector<double> direction = z;
    std::vector<double> product(d);
    double rz = dot(std::span<const double>(residual), z);
    const double target = size * std::min(0.1, std::sqrt(size / gradient_at_zero_));
    constexpr int kMostCgSteps = 200;
    for (int k = 0; k < kMostCgSteps; ++k) {
      hessian(direction, product);
      ++info.cg_iterations;
      const double bend = dot(std::span<const double>(direction), product);
      if (!(bend > 0)) break;
      const double alpha = rz / bend;
      for (std::size_t j = 0; j < d; ++j) {
        step[j] += alpha * direction[j];
        residual[j] -= alpha * product[j];
      }
      if (dot(std::span<const double>(residual), residual) <= target * target || deadline.passed()) break;
      z = residual;
      precondition(z);
      const double next = dot(std::span<const double>(residual), z);
      for (std::size_t j = 0; j < d; ++j) direction[j] = z[j] + next / rz * direction[j];
      rz = next;
    }

    // Armijo's rule; the predictions move linearly, so a shorter step costs no pass over X.
    Matrix<float> move(1, d);
    for (std::size_t j = 0; j < d; ++j) move(0, j) = static_cast<float>(step[j]);
    std::vector<float> move_z(n);
    f_->forward(move.view(), move_z);
    const double slope = dot(std::span<const double>(gradient), step);
    bool moved = false;
    for (double t = 1; t > 1e-8; t /= 2) {
      std::vector<float> trial_z(n);
      for (std::size_t i = 0; i < n; ++i) trial_z[i] = static_cast<float>(current_.z[i] + t * move_z[i]);
      std::vector<float> trial(d);
      for (std::size_t j = 0; j < d; ++j) trial[j] = static_cast<float>(w[j] + t * step[j]);
      const double bias = bias_ ? optimal_bias(*targets_, trial_z, current_.bias, f_->pool()) : 0.0;
      const double trial_loss = total_loss(*targets_, trial_z, bias, f_->pool());
      const double objective = trial_loss + 0.5 * lambda * dot(std::span<const float>(trial), trial);
      if (objective > info.objective + 1e-4 * t * slope) continue;
      std::copy(trial.begin(), trial.end(), w.begin());
      current_.z = std::move(trial_z);
      current_.bias = bias;
      loss = trial_loss;
      moved = true;
      break;
    }
    if (!moved) {
      info.status = SolveStatus::Stalled;  // the objective cannot be lowered in its own rounding
      break;
    }
  }
  if (!std::isfinite(info.objective)) {
    throw Error(ErrorCode::BadInput, "the objective is not finite: the features are too large", "scale them down");
  }
  info.passes_over_x = f_->passes() - first_pass;
  info.flops = f_->flops() - first_flops;
  info.seconds = monotonic_s() - start_s;
  return info;
}

}  // namespace coala
