#include "head/selection.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/interrupt.h"
#include "core/resources.h"

namespace coala {
namespace {

/// Held-out loss and accuracy of predictions over the rows that count.
void judge(HeldOut& held_out, const TrainingRows& rows) {
  const Targets& targets = rows.targets();
  double loss = 0;
  double right = 0;
  double weight = 0;
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    const double z = held_out.predictions[i];
    loss += loss_value(targets, i, z);
    const double agreement = static_cast<double>(targets.labels[i]) * z;
    right += static_cast<double>(targets.weights[i]) * (agreement > 0 ? 1.0 : agreement == 0 ? 0.5 : 0.0);
    weight += static_cast<double>(targets.weights[i]);
  }
  held_out.candidate.held_out_loss = loss / weight;
  held_out.candidate.held_out_accuracy = right / weight;
}

void take_fold(HeldOut& held_out, const TrainingRows& rows, int fold, const GatedWeights& fitted) {
  held_out.weights.push_back(fitted.w);
  held_out.bias.push_back(fitted.bias);
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    if (rows.fold()[i] == fold) held_out.predictions[i] = static_cast<double>(fitted.z[i]) + fitted.bias;
  }
}

int active_groups(const std::vector<Matrix<float>>& weights) {
  int active = 0;
  for (const Matrix<float>& w : weights) {
    for (std::size_t p = 0; p < w.rows(); ++p) {
      const auto group = w.row(p);
      active += std::any_of(group.begin(), group.end(), [](float value) { return value != 0; }) ? 1 : 0;
    }
  }
  const auto folds = static_cast<int>(weights.size());
  return (active + folds / 2) / folds;
}

double sum(const std::vector<float>& values) {
  double total = 0;
  for (const float value : values) total += static_cast<double>(value);
  return total;
}

/// Folds that hold at least one row; an empty fold would fit all rows once more for nothing.
std::vector<int> used_folds(const TrainingRows& rows, int folds) {
  std::vector<int> used;
  for (int fold = 0; fold < folds; ++fold) {
    if (std::find(rows.fold().begin(), rows.fold().end(), fold) != rows.fold().end()) used.push_back(fold);
  }
  return used;
}

}  // namespace

HeldOut select_linear(GatedOperator<float>& linear, const TrainingRows& rows, const Matrix<double>& gram, int folds,
                      std::vector<Candidate>& path, SelectionCost& cost) {
  const double start_s = monotonic_s();
  const double first_flops = linear.flops();
  const std::uint64_t first_pass = linear.passes();
  // lambda / (sum of weights): features have variance 1, so the range spans "almost nothing" to "almost free".
  constexpr double kLargest = 10;
  constexpr double kSmallest = 1e-5;
  constexpr int kLength = 13;
  constexpr double kTolerance = 1e-3;  // of the gradient: far below what the held-out loss can tell apart
  const bool bias = !rows.pairwise();

  std::vector<HeldOut> held_out(kLength);
  for (int k = 0; k < kLength; ++k) {
    auto& candidate = held_out[static_cast<std::size_t>(k)].candidate;
    candidate.linear = true;
    candidate.penalty_ratio = kLargest * std::pow(kSmallest / kLargest, static_cast<double>(k) / (kLength - 1));
    candidate.penalty = candidate.penalty_ratio * rows.total_weight();
    candidate.active_groups = 1;
    held_out[static_cast<std::size_t>(k)].predictions.assign(rows.rows(), 0.0);
  }
  for (const int fold : used_folds(rows, folds)) {
    const Targets targets = rows.without_fold(fold);
    LinearSolver solver(linear, targets, gram, bias);
    for (HeldOut& one : held_out) {
      throw_if_interrupted();
      solver.solve(one.candidate.penalty_ratio * sum(targets.weights), kTolerance);
      take_fold(one, rows, fold, solver.weights());
    }
  }
  for (HeldOut& one : held_out) {
    judge(one, rows);
    path.push_back(one.candidate);
  }
  cost.seconds += monotonic_s() - start_s;
  cost.flops += linear.flops() - first_flops;
  cost.passes += linear.passes() - first_pass;
  return *std::min_element(held_out.begin(), held_out.end(), [](const HeldOut& a, const HeldOut& b) {
    return a.candidate.held_out_loss < b.candidate.held_out_loss;
  });
}

HeldOut select_gated(GatedOperator<float>& gated, const TrainingRows& rows, const GatedMetric& metric,
                     const FitSettings& settings, std::vector<Candidate>& path, SelectionCost& cost) {
  const double start_s = monotonic_s();
  const double first_flops = gated.flops();
  const std::uint64_t first_pass = gated.passes();
  constexpr double kTolerance = 3e-3;  // relative gap on the path; the chosen point is solved to the full tolerance
  constexpr double kPathStart = 0.5;   // above it every model is one short step away from the constant
  constexpr int kTurned = 2;           // points in a row above the minimum that end the path
  GatedSettings gated_settings;
  gated_settings.bias = !rows.pairwise();

  const std::vector<int> folds = used_folds(rows, settings.folds);
  std::vector<Targets> targets;
  for (const int fold : folds) targets.push_back(rows.without_fold(fold));
  std::vector<GatedSolver> solvers;
  for (const Targets& fold_targets : targets) solvers.emplace_back(gated, fold_targets, metric, gated_settings);
  const double beta_max = GatedSolver(gated, rows.targets(), metric, gated_settings).beta_max();

  HeldOut best;
  best.candidate.held_out_loss = std::numeric_limits<double>::infinity();
  int above = 0;
  for (int k = 0; k < settings.path_length && above < kTurned; ++k) {
    HeldOut one;
    const double position = settings.path_length > 1 ? static_cast<double>(k) / (settings.path_length - 1) : 0.0;
    one.candidate.penalty_ratio = kPathStart * std::pow(settings.path_end / kPathStart, position);
    one.candidate.penalty = one.candidate.penalty_ratio * beta_max;
    one.predictions.assign(rows.rows(), 0.0);
    for (std::size_t f = 0; f < folds.size(); ++f) {
      throw_if_interrupted();
      // The loss is a sum: a fold's penalty shrinks with its weight so that the trade-off stays the same.
      const double share = sum(targets[f].weights) / rows.total_weight();
      solvers[f].solve(one.candidate.penalty * share, kTolerance);
      take_fold(one, rows, folds[f], solvers[f].weights());
    }
    one.candidate.active_groups = active_groups(one.weights);
    judge(one, rows);
    path.push_back(one.candidate);
    if (one.candidate.held_out_loss < best.candidate.held_out_loss) {
      best = std::move(one);
      above = 0;
    } else {
      ++above;
    }
  }
  cost.seconds += monotonic_s() - start_s;
  cost.flops += gated.flops() - first_flops;
  cost.passes += gated.passes() - first_pass;
  return best;
}

}  // namespace coala
