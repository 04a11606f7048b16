#include "head/fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/interrupt.h"
#include "head/cronos_fit.h"
#include "head/selection.h"
#include "solver/gates.h"

namespace coala {
namespace {

/// The weights [P, d] of the gated program as a network: neuron p computes D_p x'w_p. Groups that are off are dropped.
Network network_of(const Matrix<float>& w, const Matrix<float>& gates, const std::vector<std::size_t>& kept) {
  Network network;
  network.theta1 = Matrix<float>(kept.size(), w.cols());
  network.gates = Matrix<float>(kept.size(), w.cols());
  network.theta2.assign(kept.size(), 1.0f);
  for (std::size_t k = 0; k < kept.size(); ++k) {
    std::copy_n(w.row(kept[k]).data(), w.cols(), network.theta1.row(k).data());
    std::copy_n(gates.row(kept[k]).data(), w.cols(), network.gates.row(k).data());
  }
  return network;
}

std::vector<std::size_t> nonzero_groups(const Matrix<float>& w) {
  std::vector<std::size_t> kept;
  for (std::size_t p = 0; p < w.rows(); ++p) {
    const auto group = w.row(p);
    if (std::any_of(group.begin(), group.end(), [](float value) { return value != 0; })) kept.push_back(p);
  }
  return kept;
}

void check_settings(const FitSettings& settings) {
  const auto at_least = [](const char* name, int value, int least) {
    if (value >= least) return;
    throw Error(ErrorCode::BadUsage, fmt::format("{} is {}, it must be at least {}", name, value, least));
  };
  at_least("the number of selection folds", settings.folds, 2);
  at_least("the number of gates", settings.gates, 0);
  at_least("the number of cronos gates", settings.cronos_gates, 1);
  at_least("the path length", settings.path_length, 1);
}

void check_learnable(const FeatureSet& set) {
  if (set.kind != FeatureKind::Labelled) return;
  const bool positive = std::find(set.labels.begin(), set.labels.end(), 1) != set.labels.end();
  const bool negative = std::find(set.labels.begin(), set.labels.end(), -1) != set.labels.end();
  if (positive && negative) return;
  throw Error(ErrorCode::BadInput,
              fmt::format("{}: all {} labels are {}; there is nothing to tell apart", set.path, set.rows(),
                          positive ? "+1" : "-1"),
              "add rows of the other class");
}

}  // namespace

std::string_view model_class_name(ModelClass model_class) noexcept {
  switch (model_class) {
    case ModelClass::Gated:
      return "gated";
    case ModelClass::Linear:
      return "linear";
    case ModelClass::Cronos:
      return "cronos";
  }
  return "";
}

/// Activations [n, m] of every row by the network of the fold that left it out: what Phase II may be fitted to. A fold
/// without rows has no network.
PhaseTwoRows out_of_fold_rows(const TrainingRows& rows, const std::vector<Network>& networks, std::size_t m,
                              bool pairwise, ThreadPool& pool) {
  const std::size_t n = rows.plus().rows();
  PhaseTwoRows result;
  result.pairwise = pairwise;
  result.activations = Matrix<double>(pairwise || !rows.from_pairs() ? n : 2 * n, m);
  pool.for_parts(n, 64, [&](int, std::size_t begin, std::size_t end) {
    std::vector<double> other(m);
    for (std::size_t i = begin; i < end; ++i) {
      const Network& network = networks[static_cast<std::size_t>(rows.fold()[i])];
      const auto out = result.activations.row(i);
      network.activations(rows.plus().row(i), out);
      if (!rows.from_pairs()) continue;
      network.activations(rows.minus().row(i), other);
      for (std::size_t j = 0; j < m; ++j) {
        if (pairwise) {
          out[j] -= other[j];
        } else {
          result.activations(n + i, j) = other[j];
        }
      }
    }
  });
  const Targets& targets = rows.targets();
  for (std::size_t i = 0; i < result.activations.rows(); ++i) {
    result.labels.push_back(i < n && rows.from_pairs() ? 1.0 : rows.from_pairs() ? -1.0 : targets.labels[i]);
    result.weights.push_back(static_cast<double>(targets.weights[i % targets.weights.size()]));
    if (pairwise && !targets.margins.empty()) result.margins.push_back(static_cast<double>(targets.margins[i]));
  }
  return result;
}

FitResult fit_head(const FeatureSet& set, const FitSettings& settings, ThreadPool& pool) {
  check_settings(settings);
  check_learnable(set);
  const bool pairs = set.kind == FeatureKind::Pairs;
  const Loss preference_loss = pairs ? Loss::BradleyTerry : Loss::Logistic;
  FitResult result;
  result.model_class = settings.model_class;
  result.loss = settings.model_class == ModelClass::Cronos ? Loss::Squared : settings.loss.value_or(preference_loss);
  result.phase_two_settings = settings.phase_two;
  SelectionCost cost;

  // The baseline, and the linear candidates: the same fits unless the program has another loss.
  const FeatureTransform standard = FeatureTransform::standardising(set);
  result.baseline_transform = standard;
  const TrainingRows rows(set, standard, preference_loss, settings.folds, settings.seed);
  const Matrix<float> zero_gate(1, set.dimension());
  std::vector<Candidate> baseline_path;
  HeldOut linear;
  {
    GatedOperator<float> f(rows.design(), zero_gate.view(), pool);
    const Matrix<double> gram = weighted_gram(rows.design(), rows.targets().weights, pool);
    linear = select_linear(f, rows, gram, settings.folds, baseline_path, cost);
    LinearSolver solver(f, rows.targets(), gram, !rows.pairwise());
    const SolveInfo info = solver.solve(linear.candidate.penalty, 1e-6);
    result.baseline = network_of(solver.weights().w, zero_gate, {0});
    result.baseline.bias = static_cast<float>(solver.weights().bias);
    result.baseline_penalty_ratio = linear.candidate.penalty_ratio;
    result.bytes_of_x = f.bytes_per_pass();
    result.phase_one = info;
  }

  std::vector<Network> fold_networks(static_cast<std::size_t>(settings.folds));
  const TrainingRows* phase_two_source = &rows;
  std::optional<TrainingRows> own_rows;

  if (settings.model_class == ModelClass::Cronos) {
    result.transform = FeatureTransform::identity(set.dimension());  // raw features, as published
    own_rows.emplace(set, result.transform, Loss::Squared, settings.folds, settings.seed);
    phase_two_source = &*own_rows;
    fit_cronos(*own_rows, settings, pool, result, fold_networks);
  } else {
    result.transform = standard;
    if (result.loss != preference_loss) {
      own_rows.emplace(set, standard, result.loss, settings.folds, settings.seed);
      phase_two_source = &*own_rows;
    }
    const TrainingRows& own = *phase_two_source;
    const bool free_bias = !own.pairwise();
    GatedOperator<float> linear_f(own.design(), zero_gate.view(), pool);
    const Matrix<double> gram = weighted_gram(own.design(), own.targets().weights, pool);
    if (result.loss != preference_loss) {
      linear = select_linear(linear_f, own, gram, settings.folds, result.path, cost);
    } else {
      result.path = baseline_path;
    }
    Matrix<float> gates = zero_gate;
    HeldOut best = linear;
    if (settings.model_class == ModelClass::Gated) {
      const Matrix<float> drawn =
          draw_gates_with_linear(static_cast<std::size_t>(settings.gates), set.dimension(), settings.seed);
      GatedOperator<float> f(own.design(), drawn.view(), pool);
      HeldOut gated = select_gated(f, own, settings, result.path, cost);
      if (gated.candidate.held_out_loss < linear.candidate.held_out_loss) {
        best = std::move(gated);
        gates = drawn;
        // The mean of the folds' solutions is a start a few iterations away from the solution on all rows.
        Matrix<float> start(gates.rows(), gates.cols());
        for (const Matrix<float>& w : best.weights) {
          for (std::size_t k = 0; k < start.values().size(); ++k) {
            start.values()[k] += w.values()[k] / static_cast<float>(best.weights.size());
          }
        }
        GatedSolver solver(f, own.targets(), {free_bias, settings.tolerance, 20000});
        solver.start_from(start);
        result.phase_one = solver.solve(best.candidate.penalty, settings.tolerance);
        result.certificate = certify_gated(own.design(), own.targets(), gates.view(), solver.weights().w.view(),
                                           solver.weights().bias, free_bias, best.candidate.penalty);
        result.network = network_of(solver.weights().w, gates, nonzero_groups(solver.weights().w));
        result.network.bias = static_cast<float>(solver.weights().bias);
        // Phase II needs the same neurons in every fold.
        std::size_t at = 0;
        for (std::size_t fold = 0; fold < fold_networks.size(); ++fold) {
          if (std::find(own.fold().begin(), own.fold().end(), static_cast<int>(fold)) == own.fold().end()) continue;
          fold_networks[fold] = network_of(best.weights[at], gates, nonzero_groups(solver.weights().w));
          ++at;
        }
      }
    }
    if (best.candidate.linear) {
      LinearSolver solver(linear_f, own.targets(), gram, free_bias);
      result.phase_one = solver.solve(best.candidate.penalty, 1e-6);
      result.certificate = certify_linear(own.design(), own.targets(), solver.weights().w.row(0), solver.weights().bias,
                                          free_bias, best.candidate.penalty);
      result.network = network_of(solver.weights().w, zero_gate, {0});
      result.network.bias = static_cast<float>(solver.weights().bias);
      std::size_t at = 0;
      for (std::size_t fold = 0; fold < fold_networks.size(); ++fold) {
        if (std::find(own.fold().begin(), own.fold().end(), static_cast<int>(fold)) == own.fold().end()) continue;
        fold_networks[fold] = network_of(best.weights[at++], zero_gate, {0});
      }
    }
    result.chosen = best.candidate;
    result.phase_one.objective = result.certificate->objective;
    result.phase_one.dual_objective = result.certificate->dual_objective;
  }
  throw_if_interrupted();

  const bool pairwise = pairs && settings.phase_two.objective != PhaseTwoObjective::Pointwise;
  const PhaseTwoRows phase_two_rows =
      out_of_fold_rows(*phase_two_source, fold_networks, result.network.neurons(), pairwise, pool);
  const std::vector<double> theta2(result.network.theta2.begin(), result.network.theta2.end());
  result.phase_two =
      fit_phase_two(phase_two_rows, theta2, static_cast<double>(result.network.bias), settings.phase_two);
  std::transform(result.phase_two.theta2.begin(), result.phase_two.theta2.end(), result.network.theta2.begin(),
                 [](double value) { return static_cast<float>(value); });
  result.network.bias = static_cast<float>(result.phase_two.bias);

  // Out-of-fold scores of single responses. A head trained on differences has no absolute level: its scores are
  // centred, so that 0 is the average response and the sigmoid of a score is a comparison with it.
  const PhaseTwoRows single =
      pairwise ? out_of_fold_rows(*phase_two_source, fold_networks, theta2.size(), false, pool) : phase_two_rows;
  double sum = 0;
  double squares = 0;
  for (std::size_t i = 0; i < single.activations.rows(); ++i) {
    double score = result.phase_two.bias;
    for (std::size_t j = 0; j < theta2.size(); ++j) score += result.phase_two.theta2[j] * single.activations(i, j);
    sum += score;
    squares += score * score;
  }
  if (!std::isfinite(squares)) {
    throw Error(ErrorCode::BadInput, set.path + ": the scores are not finite: the features are too large",
                "scale the features down");
  }
  const double count = static_cast<double>(single.activations.rows());
  result.score_mean = sum / count;
  result.score_deviation = std::sqrt(std::max(0.0, squares / count - result.score_mean * result.score_mean));
  if (pairwise) result.network.bias = static_cast<float>(-result.score_mean);

  result.selection_seconds = cost.seconds;
  result.selection_flops = cost.flops;
  result.selection_passes = cost.passes;
  return result;
}

}  // namespace coala
