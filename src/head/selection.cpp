#include "head/selection.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "core/interrupt.h"
#include "core/resources.h"
#include "solver/gates.h"

namespace coala {
namespace {

/// Standard error of the mean held-out loss, as the folds' means scatter about it.
double error_of_folds(const HeldOut& held_out, const TrainingRows& rows, double mean) {
  const Targets& targets = rows.targets();
  std::map<int, std::pair<double, double>> folds;  // loss, weight
  double weight = 0;
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    auto& [fold_loss, fold_weight] = folds[rows.fold()[i]];
    fold_loss += loss_value(targets, i, held_out.predictions[i]);
    fold_weight += static_cast<double>(targets.weights[i]);
    weight += static_cast<double>(targets.weights[i]);
  }
  double scatter = 0;
  for (const auto& [fold, sums] : folds) {
    if (!(sums.second > 0)) continue;
    const double difference = sums.first / sums.second - mean;
    scatter += sums.second / weight * difference * difference;
  }
  return folds.size() > 1 ? std::sqrt(scatter / static_cast<double>(folds.size() - 1)) : 0.0;
}

/// Of candidates from the strongest penalty downwards, the one that the rule takes.
HeldOut take_by(SelectionRule rule, std::vector<HeldOut> candidates) {
  const auto best =
      std::ranges::min_element(candidates, {}, [](const HeldOut& one) { return one.candidate.held_out_loss; });
  if (rule == SelectionRule::LowestLoss) return std::move(*best);
  const double within = best->candidate.held_out_loss + best->candidate.held_out_error;
  return std::move(*std::ranges::find_if(
      candidates, [within](const HeldOut& one) { return one.candidate.held_out_loss <= within; }));
}

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
  held_out.candidate.held_out_error = error_of_folds(held_out, rows, loss / weight);
  held_out.candidate.held_out_accuracy = right / weight;
}

void take_fold(HeldOut& held_out, const TrainingRows& rows, int fold, const Matrix<float>& gates,
               const GatedWeights& fitted) {
  held_out.gates.push_back(gates);
  held_out.weights.push_back(fitted.w);
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

/// Points in a row above the minimum that end a path.
constexpr int kTurned = 2;

/// Relative gap of the fits on folds; the chosen model is fitted to the full tolerance.
constexpr double kPathTolerance = 3e-3;

/// Folds that hold at least one row; an empty fold would fit all rows once more for nothing.
std::vector<int> used_folds(const TrainingRows& rows, int folds) {
  std::vector<int> used;
  for (int fold = 0; fold < folds; ++fold) {
    if (std::find(rows.fold().begin(), rows.fold().end(), fold) != rows.fold().end()) used.push_back(fold);
  }
  return used;
}

/// The gated program on the rows of all folds but one.
struct GatedFold {
  int fold;
  Targets targets;
  double share;  ///< of the rows' weight
  Matrix<float> gates;
  std::optional<GatedSolver> solver;
};

std::vector<GatedFold> gated_folds(const TrainingRows& rows, int folds) {
  std::vector<GatedFold> result;
  for (const int fold : used_folds(rows, folds)) {
    Targets targets = rows.without_fold(fold);
    const double share = sum(targets.weights) / rows.total_weight();
    result.push_back({fold, std::move(targets), share, {}, {}});
  }
  return result;
}

GatedSettings gated_settings(const TrainingRows& rows) {
  GatedSettings settings;
  settings.bias = !rows.pairwise();
  return settings;
}

/// Fits every fold at the candidate's penalty and judges the models on the rows that they have not seen.
HeldOut evaluate(std::vector<GatedFold>& folds, const Candidate& candidate, const TrainingRows& rows,
                 std::vector<Candidate>& path) {
  HeldOut one;
  one.candidate = candidate;
  one.predictions.assign(rows.rows(), 0.0);
  for (GatedFold& fold : folds) {
    throw_if_interrupted();
    // The loss is a sum: a fold's penalty shrinks with its weight so that the trade-off stays the same.
    fold.solver->solve(candidate.penalty * fold.share, kPathTolerance);
    take_fold(one, rows, fold.fold, fold.gates, fold.solver->weights());
  }
  one.candidate.active_groups = active_groups(one.weights);
  judge(one, rows);
  path.push_back(one.candidate);
  return one;
}

}  // namespace

HeldOut select_linear(GatedOperator<float>& linear, const TrainingRows& rows, const Matrix<double>& gram, int folds,
                      SelectionRule rule, std::vector<Candidate>& path, SelectionCost& cost) {
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
      take_fold(one, rows, fold, Matrix<float>(1, linear.dimension()), solver.weights());
    }
  }
  for (HeldOut& one : held_out) {
    judge(one, rows);
    path.push_back(one.candidate);
  }
  cost.seconds += monotonic_s() - start_s;
  cost.flops += linear.flops() - first_flops;
  cost.passes += linear.passes() - first_pass;
  return take_by(rule, std::move(held_out));
}

HeldOut select_gated(GatedOperator<float>& gated, const Matrix<float>& gates, const TrainingRows& rows,
                     const GatedMetric& metric, const FitSettings& settings, std::vector<Candidate>& path,
                     SelectionCost& cost) {
  const double start_s = monotonic_s();
  const double first_flops = gated.flops();
  const std::uint64_t first_pass = gated.passes();
  constexpr double kPathStart = 0.5;  // above it every model is one short step away from the constant
  std::vector<GatedFold> folds = gated_folds(rows, settings.folds);
  for (GatedFold& fold : folds) {
    fold.gates = gates;
    fold.solver.emplace(gated, fold.targets, metric, gated_settings(rows));
  }
  const double beta_max = GatedSolver(gated, rows.targets(), metric, gated_settings(rows)).beta_max();

  std::vector<HeldOut> candidates;
  double least = std::numeric_limits<double>::infinity();
  int above = 0;
  for (int k = 0; k < settings.path_length && above < kTurned; ++k) {
    Candidate candidate;
    const double position = settings.path_length > 1 ? static_cast<double>(k) / (settings.path_length - 1) : 0.0;
    candidate.penalty_ratio = kPathStart * std::pow(settings.path_end / kPathStart, position);
    candidate.penalty = candidate.penalty_ratio * beta_max;
    HeldOut one = evaluate(folds, candidate, rows, path);
    above = one.candidate.held_out_loss < least ? 0 : above + 1;
    least = std::min(least, one.candidate.held_out_loss);
    candidates.push_back(std::move(one));
  }
  cost.seconds += monotonic_s() - start_s;
  cost.flops += gated.flops() - first_flops;
  cost.passes += gated.passes() - first_pass;
  return take_by(settings.rule, std::move(candidates));
}

HeldOut refine_gated(HeldOut best, const TrainingRows& rows, const GatedMetric& metric, const FitSettings& settings,
                     ThreadPool& pool, std::vector<Candidate>& path, SelectionCost& cost) {
  const double start_s = monotonic_s();
  constexpr int kMostRounds = 10;
  constexpr double kPenaltyStep = 0.7;
  std::vector<GatedFold> folds = gated_folds(rows, settings.folds);
  std::vector<std::optional<GatedOperator<float>>> operators(folds.size());
  const auto count_cost = [&] {
    for (const auto& f : operators) {
      if (!f) continue;
      cost.flops += f->flops();
      cost.passes += f->passes();
    }
  };
  const auto place_gates = [&](const std::vector<Matrix<float>>& gates) {
    count_cost();
    for (std::size_t k = 0; k < folds.size(); ++k) {
      folds[k].gates = gates[k];
      operators[k].emplace(rows.design(), folds[k].gates.view(), pool);
    }
  };
  const auto start_from = [&](const std::vector<Matrix<float>>& w) {
    for (std::size_t k = 0; k < folds.size(); ++k) {
      folds[k].solver.emplace(*operators[k], folds[k].targets, metric, gated_settings(rows));
      folds[k].solver->start_from(w[k]);
    }
  };
  const auto better = [](const HeldOut& a, const HeldOut& b) {
    return a.candidate.held_out_loss < b.candidate.held_out_loss;
  };

  HeldOut last = best;
  for (int round = 0, above = 0; round < kMostRounds && above < kTurned; ++round) {
    std::vector<Matrix<float>> turned;
    for (std::size_t k = 0; k < folds.size(); ++k) turned.push_back(refine_gates(last.gates[k], last.weights[k]));
    place_gates(turned);
    start_from(last.weights);
    Candidate candidate = last.candidate;
    ++candidate.refinements;
    last = evaluate(folds, candidate, rows, path);
    above = better(last, best) ? 0 : above + 1;
    if (above == 0) best = last;
  }
  if (best.candidate.refinements > 0) {
    const HeldOut refined = best;
    place_gates(refined.gates);
    for (const double step : {kPenaltyStep, 1 / kPenaltyStep}) {
      start_from(refined.weights);
      HeldOut before = refined;
      for (;;) {
        Candidate candidate = before.candidate;
        candidate.penalty *= step;
        candidate.penalty_ratio *= step;
        HeldOut next = evaluate(folds, candidate, rows, path);
        if (!better(next, before)) break;
        before = std::move(next);
      }
      if (better(before, best)) best = std::move(before);
    }
  }
  count_cost();
  cost.seconds += monotonic_s() - start_s;
  return best;
}

bool clearly_better(const HeldOut& a, const HeldOut& b, const TrainingRows& rows) {
  constexpr double kStandardErrors = 2;
  double sum = 0;
  double squares = 0;
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    const double gain =
        loss_value(rows.targets(), i, b.predictions[i]) - loss_value(rows.targets(), i, a.predictions[i]);
    sum += gain;
    squares += gain * gain;
  }
  const double n = static_cast<double>(rows.rows());
  const double variance = std::max(0.0, squares / n - sum / n * (sum / n));
  return sum / n > kStandardErrors * std::sqrt(variance / n);
}

}  // namespace coala
