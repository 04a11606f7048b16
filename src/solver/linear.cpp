#include "solver/linear.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/resources.h"
#include "linalg/blas.h"
#include "solver/prediction.h"

namespace coala {
namespace {

[[noreturn]] void refuse_large_features() {
  throw Error(ErrorCode::BadInput, "the objective is not finite: the features are too large", "scale them down");
}

}  // namespace

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

/// Of the loss at a point: X'(C - C 1 1'C / 1'C 1) X is the Hessian with the bias at its optimum for each w.
struct LinearSolver::Curvature {
  std::vector<float> c;        ///< [n], the diagonal of C
  double sum = 0;              ///< 1'C 1
  double mean = 0;             ///< sum over the sum of the weights
  Matrix<float> bias_product;  ///< X'C 1 [1, d], with a bias only
};

/// A direction in the weights with what it does to the predictions.
struct LinearSolver::Step {
  std::vector<double> w;
  std::vector<float> z;
};

LinearSolver::LinearSolver(GatedOperator<float>& f, const Targets& targets, const MomentSpectrum& moments, bool bias)
    : f_(&f), targets_(&targets), moments_(&moments), bias_(bias) {
  current_.w = Matrix<float>(1, f.dimension());
  current_.z.assign(f.rows(), 0.0f);
  current_.bias = bias ? optimal_bias(targets, current_.z, 0.0, f.pool()) : 0.0;
}

void LinearSolver::start_from(const Matrix<float>& w) {
  if (gradient_at_zero_ == 0) {
    std::vector<double> gradient(f_->dimension());
    SolveInfo info;
    evaluate(1.0, total_loss(*targets_, current_.z, current_.bias, f_->pool()), gradient, info);
  }
  current_.w = w;
  f_->forward(w.view(), current_.z);
  current_.bias = bias_ ? optimal_bias(*targets_, current_.z, current_.bias, f_->pool()) : 0.0;
}

double LinearSolver::evaluate(double lambda, double loss, std::vector<double>& gradient, SolveInfo& info) {
  std::vector<float> r(f_->rows());
  Matrix<float> pass(1, f_->dimension());
  loss_derivatives(*targets_, current_.z, current_.bias, r, f_->pool());
  f_->adjoint(r, pass.view());
  const auto w = current_.w.row(0);
  for (std::size_t j = 0; j < gradient.size(); ++j) gradient[j] = static_cast<double>(pass(0, j)) + lambda * w[j];
  const double size = std::sqrt(dot(std::span<const double>(gradient), gradient));
  if (!std::isfinite(size) || !std::isfinite(loss)) refuse_large_features();
  if (gradient_at_zero_ == 0) gradient_at_zero_ = size;  // the first call starts at zero
  info.objective = loss + 0.5 * lambda * dot(std::span<const float>(w), w);
  // Dual of the ridge term: theta itself is feasible, at the cost of ||X'theta||^2 / (2 lambda).
  const auto g = pass.row(0);
  info.dual_objective = dual_value_at(*targets_, r, 1.0, f_->pool()) - dot(std::span<const float>(g), g) / (2 * lambda);
  return size;
}

LinearSolver::Curvature LinearSolver::curvature() {
  const std::size_t n = f_->rows();
  Curvature result;
  result.c.resize(n);
  double weight = 0;
  for (std::size_t i = 0; i < n; ++i) {
    result.c[i] = static_cast<float>(loss_curvature(*targets_, i, static_cast<double>(current_.z[i]) + current_.bias));
    result.sum += static_cast<double>(result.c[i]);
    weight += static_cast<double>(targets_->weights[i]);
  }
  result.mean = weight > 0 ? result.sum / weight : 0;
  if (bias_) {
    result.bias_product = Matrix<float>(1, f_->dimension());
    f_->adjoint(result.c, result.bias_product.view());
  }
  return result;
}

void LinearSolver::precondition(double lambda, double mean_curvature, std::vector<double>& v) {
  const std::size_t rank = moments_->rank();
  if (rank == 0) return;
  std::vector<double> inside(rank);
  std::vector<double> along(v.size());
  gemv(false, moments_->vectors.view(), v, inside);
  const double beyond = moments_->whole() ? 0.0 : 1 / (mean_curvature * moments_->rest + lambda);
  for (std::size_t k = 0; k < rank; ++k) {
    inside[k] *= 1 / (mean_curvature * moments_->values[k] + lambda) - beyond;
  }
  gemv(true, moments_->vectors.view(), inside, along);
  for (std::size_t j = 0; j < v.size(); ++j) v[j] = beyond * v[j] + along[j];
  f_->add_flops(4 * static_cast<double>(rank * v.size()));
}

LinearSolver::Step LinearSolver::newton_step(double lambda, std::span<const double> gradient, double target,
                                             const Deadline& deadline, SolveInfo& info) {
  constexpr int kMostCgSteps = 200;
  const std::size_t n = f_->rows();
  const std::size_t d = f_->dimension();
  const Curvature curved = curvature();
  Step step{std::vector<double>(d), std::vector<float>(n)};
  std::vector<double> residual(d);
  for (std::size_t j = 0; j < d; ++j) residual[j] = -gradient[j];
  std::vector<double> z = residual;
  precondition(lambda, curved.mean, z);
  std::vector<double> direction = z;
  std::vector<double> product(d);
  std::vector<float> predictions(n);
  Matrix<float> in(1, d);
  Matrix<float> out(1, d);
  double rz = dot(std::span<const double>(residual), z);
  for (int k = 0; k < kMostCgSteps; ++k) {
    for (std::size_t j = 0; j < d; ++j) in(0, j) = static_cast<float>(direction[j]);
    std::vector<double> weighted(f_->chunks());
    const auto map = [&](std::size_t chunk, std::size_t first, std::span<float> block) {
      for (std::size_t i = 0; i < block.size(); ++i) {
        predictions[first + i] = block[i];
        block[i] *= curved.c[first + i];
        weighted[chunk] += static_cast<double>(block[i]);
      }
    };
    f_->fused_blocks(in.view(), map, out.view());
    double mean = 0;
    for (const double sum : weighted) mean += bias_ && curved.sum > 0 ? sum / curved.sum : 0.0;
    for (std::size_t j = 0; j < d; ++j) {
      product[j] = static_cast<double>(out(0, j)) + lambda * direction[j];
      if (bias_) product[j] -= mean * static_cast<double>(curved.bias_product(0, j));
    }
    ++info.cg_iterations;
    const double bend = dot(std::span<const double>(direction), product);
    if (!std::isfinite(bend)) refuse_large_features();
    if (!(bend > 0)) break;
    const double alpha = rz / bend;
    for (std::size_t j = 0; j < d; ++j) {
      step.w[j] += alpha * direction[j];
      residual[j] -= alpha * product[j];
    }
    for (std::size_t i = 0; i < n; ++i) step.z[i] += static_cast<float>(alpha * static_cast<double>(predictions[i]));
    if (dot(std::span<const double>(residual), residual) <= target * target || deadline.passed()) break;
    z = residual;
    precondition(lambda, curved.mean, z);
    const double next = dot(std::span<const double>(residual), z);
    for (std::size_t j = 0; j < d; ++j) direction[j] = z[j] + next / rz * direction[j];
    rz = next;
  }
  return step;
}

std::optional<double> LinearSolver::move(double lambda, std::span<const double> gradient, const Step& step,
                                         double objective) {
  const std::size_t n = f_->rows();
  const std::size_t d = f_->dimension();
  const auto w = current_.w.row(0);
  const double slope = dot(gradient, std::span<const double>(step.w));
  for (double t = 1; t > 1e-8; t /= 2) {  // predictions move linearly: a shorter step costs no pass over X
    std::vector<float> z(n);
    for (std::size_t i = 0; i < n; ++i) z[i] = static_cast<float>(current_.z[i] + t * step.z[i]);
    std::vector<float> trial(d);
    for (std::size_t j = 0; j < d; ++j) trial[j] = static_cast<float>(w[j] + t * step.w[j]);
    const double bias = bias_ ? optimal_bias(*targets_, z, current_.bias, f_->pool()) : 0.0;
    const double loss = total_loss(*targets_, z, bias, f_->pool());
    const double value = loss + 0.5 * lambda * dot(std::span<const float>(trial), trial);
    if (value > objective + 1e-4 * t * slope) continue;
    std::ranges::copy(trial, w.begin());
    current_.z = std::move(z);
    current_.bias = bias;
    return loss;
  }
  return std::nullopt;
}

SolveInfo LinearSolver::solve(double lambda, double tolerance, const Deadline& deadline, double gap) {
  constexpr int kMostNewtonSteps = 50;
  const double start_s = monotonic_s();
  const std::uint64_t first_pass = f_->passes();
  const double first_flops = f_->flops();
  SolveInfo info;
  info.status = SolveStatus::IterationLimit;
  double loss = total_loss(*targets_, current_.z, current_.bias, f_->pool());
  std::vector<double> gradient(f_->dimension());
  for (;; ++info.iterations) {
    const double size = evaluate(lambda, loss, gradient, info);
    if (!(size > tolerance * gradient_at_zero_) || (gap > 0 && info.relative_gap() <= gap)) {
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
    // Only as exact as the outer iteration can use.
    const double target = size * std::min(0.1, std::sqrt(size / gradient_at_zero_));
    const Step step = newton_step(lambda, gradient, target, deadline, info);
    const std::optional<double> moved = move(lambda, gradient, step, info.objective);
    if (!moved) {
      info.status = SolveStatus::Stalled;  // the objective cannot be lowered in its own rounding
      break;
    }
    loss = *moved;
  }
  if (!std::isfinite(info.objective)) refuse_large_features();
  info.passes_over_x = f_->passes() - first_pass;
  info.flops = f_->flops() - first_flops;
  info.seconds = monotonic_s() - start_s;
  return info;
}

}  // namespace coala
