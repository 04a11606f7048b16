#include "head/fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "core/deadline.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "head/cronos_fit.h"
#include "head/device_room.h"
#include "head/gated_folds.h"
#include "head/gated_refinement.h"
#include "head/gated_selection.h"
#include "head/length_control.h"
#include "head/linear_fit.h"
#include "head/relu_fit.h"
#include "head/selection_cost.h"
#include "solver/gates.h"

namespace coala {
namespace {

// Of the time that is left when a stage begins:
constexpr double kBaselineShare = 0.3;   ///< for the linear model, when a program of another kind comes after it
constexpr double kSelectionShare = 0.7;  ///< for the fits on folds; the rest is for the fit on all rows

/// Phase II has as long as this, whatever is left: with the few neurons of most heads that is all it needs.
constexpr double kLeastPhaseTwo_s = 0.25;
/// The same of the paper's two programs: small ones have an answer within any limit.
constexpr double kLeastPublished_s = 0.5;

constexpr int kMostIterations = 20000;
constexpr std::size_t kMetricDirections = 128;  ///< that the metric of many columns knows

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

void check_unweighted(const FeatureSet& set) {
  for (std::size_t i = 0; i < set.weight.size(); ++i) {
    if (set.weight[i] == 1.0f) continue;
    throw Error(ErrorCode::BadUsage,
                fmt::format("{}: row {} has the weight {}, and the paper's program knows no weights", set.path, i,
                            set.weight[i]),
                "use --model-class gated or linear, or leave the weights out");
  }
}

bool is_published(ModelClass model_class) {
  return model_class == ModelClass::Cronos || model_class == ModelClass::Relu;
}

/// The loss of Phase I.
Loss loss_of(const FeatureSet& set, const FitSettings& settings) {
  if (is_published(settings.model_class)) return Loss::Squared;
  return settings.loss.value_or(set.kind == FeatureKind::Pairs ? Loss::BradleyTerry : Loss::Logistic);
}

void check_rows_and_settings(const FeatureSet& set, const FitSettings& settings) {
  check_settings(settings);
  check_learnable(set);
  if (!is_published(settings.model_class)) return;
  check_unweighted(set);
  if (settings.as_relu) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("the {} class makes a ReLU network anyway", name_of(settings.model_class)),
                "leave --as-relu out");
  }
}

/// Activations of every response by the network of the fold that left it out: what Phase II may be fitted to. Of pairs
/// those that were chosen come first [2 n, m], else [n, m]. A fold without rows has no network.
PhaseTwoRows out_of_fold_rows(const TrainingRows& rows, const std::vector<Network>& networks, std::size_t m,
                              ThreadPool& pool) {
  const std::size_t n = rows.responses();
  PhaseTwoRows result;
  result.activations = Matrix<double>(rows.from_pairs() ? 2 * n : n, m);
  pool.for_parts(result.activations.rows(), 64, [&](int, std::size_t begin, std::size_t end) {
    std::vector<float> x(rows.dimension());
    for (std::size_t i = begin; i < end; ++i) {
      rows.read(i / n, i % n, x);
      networks[static_cast<std::size_t>(rows.fold()[i % n])].activations(x, result.activations.row(i));
    }
  });
  const Targets& targets = rows.targets();
  for (std::size_t i = 0; i < result.activations.rows(); ++i) {
    result.labels.push_back(i < n && rows.from_pairs() ? 1.0 : rows.from_pairs() ? -1.0 : targets.labels[i]);
    result.weights.push_back(static_cast<double>(targets.weights[i % targets.weights.size()]));
  }
  return result;
}

/// The rows of single responses as one row a pair, with the differences of the activations [n, m].
PhaseTwoRows as_pairs(const PhaseTwoRows& single, const Targets& targets) {
  const std::size_t n = single.activations.rows() / 2;
  PhaseTwoRows result;
  result.pairwise = true;
  result.activations = Matrix<double>(n, single.activations.cols());
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < result.activations.cols(); ++j) {
      result.activations(i, j) = single.activations(i, j) - single.activations(n + i, j);
    }
  }
  result.labels.assign(n, 1.0);
  result.weights.assign(single.weights.begin(), single.weights.begin() + static_cast<long>(n));
  if (!targets.margins.empty()) result.margins.assign(targets.margins.begin(), targets.margins.end());
  return result;
}

/// The networks of the folds that hold rows, all with the same neurons: Phase II needs them to line up.
std::vector<Network> networks_of_folds(const TrainingRows& rows, const HeldOut& best,
                                       const std::vector<std::size_t>& kept, int folds) {
  std::vector<Network> networks(static_cast<std::size_t>(folds));
  std::size_t at = 0;
  for (int fold = 0; fold < folds; ++fold) {
    if (std::find(rows.fold().begin(), rows.fold().end(), fold) == rows.fold().end()) continue;
    networks[static_cast<std::size_t>(fold)] = network_of(best.weights[at], best.gates[at], kept);
    ++at;
  }
  return networks;
}

/// Takes the linear model as the result of Phase I.
void take_linear(const TrainingRows& rows, const LinearFit& linear, int folds, FitResult& result,
                 std::vector<Network>& fold_networks) {
  const Matrix<float> zero_gate(1, rows.dimension());
  result.phase_one = linear.info;
  result.chosen = linear.selected.candidate;
  result.certificate = certify_linear(rows.design(), rows.targets(), linear.weights.w.row(0), linear.weights.bias,
                                      !rows.pairwise(), linear.selected.candidate.penalty);
  result.network = network_of(linear.weights.w, zero_gate, {0});
  result.network.bias = static_cast<float>(linear.weights.bias);
  fold_networks = networks_of_folds(rows, linear.selected, {0}, folds);
}

/// A device for files: "vulkan, llvmpipe (LLVM 15.0.6, 256 bits)". Its number is of one machine.
std::string described(const Backend& backend) {
  return fmt::format("{}, {}", backend.name().substr(0, backend.name().find(':')), backend.description());
}

/// What the selection of the gated program needs, on one set of rows.
struct GatedRows {
  const TrainingRows* rows;
  GatedMetric metric;
};

/// Responses spread evenly over the rows, for gates to be drawn from. A few thousand tell gates apart.
GateSample gate_sample(const TrainingRows& rows) {
  constexpr std::size_t kMostRows = 2000;
  const std::size_t count = std::min(kMostRows, rows.responses());
  const std::size_t sides = rows.from_pairs() ? 2 : 1;
  GateSample sample{Matrix<float>(sides * count, rows.dimension()), {}};
  for (std::size_t k = 0; k < count; ++k) {
    const std::size_t i = k * rows.responses() / count;
    for (std::size_t side = 0; side < sides; ++side) {
      rows.read(side, i, sample.x.row(sample.labels.size()));
      sample.labels.push_back(!rows.from_pairs() ? rows.targets().labels[i] : side == 0 ? 1.0f : -1.0f);
    }
  }
  return sample;
}

/// Refines gates and weights as the folds did: solve, turn the gates, and so on, `rounds` times. The solve with the
/// last gates is left to the caller.
/// @param candidate  the penalty of the solves
/// @param curvature  that similar solves have met
void refine(const GatedRows& on, const Candidate& candidate, int rounds, double curvature, const Deadline& deadline,
            ThreadPool& pool, SelectionCost& cost, Matrix<float>& gates, Matrix<float>& w) {
  GatedSettings settings = gated_settings(*on.rows, gates.rows(), candidate.linear_weight);
  settings.max_iterations = kMostIterations;
  for (int round = 0; round < rounds; ++round) {
    GatedOperator<float> f(on.rows->design(), gates.view(), pool);
    GatedSolver solver(f, on.rows->targets(), on.metric, settings);
    solver.start_from(w, curvature);
    const double solves_left = rounds - round + 1;
    solver.solve(candidate.penalty, kSelectionTolerance, deadline.share(1 / solves_left));
    w = solver.weights().w;
    curvature = solver.curvature();
    gates = refine_gates(gates, w);
    cost.add(f);
  }
}

/// From what some of the rows have said: gates and penalty by more of them, the decision by all.
HeldOut settle_on_more_rows(const FeatureSet& set, const GatedRows& on, const HeldOut& start, const LinearFit& linear,
                            const FitSettings& settings, const Deadline& deadline, ThreadPool& pool,
                            SelectionCost& cost, FitResult& result) {
  const auto refined = [&](const HeldOut& from, const HeldOut* rival, const TrainingRows& rows) {
    return refine_with_more_rows(from, rival, rows, on.metric, settings.folds, deadline, pool, result.path, cost);
  };
  std::optional<Look> look = refining_look(set, result.transform, *on.rows, settings.folds, settings.seed, pool);
  if (!look) return refined(start, &linear.selected, *on.rows);
  const HeldOut best = look->lift(refined(look->narrow(start), nullptr, look->rows));
  look.reset();  // one copy at a time
  return judge_with_more_rows(best, *on.rows, on.metric, settings.folds, deadline, pool, result.path, cost);
}

/// Fits the gated program; false, and nothing taken, unless it is clearly better than the linear model on held-out
/// prompts.
/// @param look  given back as soon as all rows and columns are looked at: the coordinates and what the fits need
///              together would be the peak of memory
bool fit_gated(const FeatureSet& set, const TrainingRows& rows, std::optional<Look>& look, const LinearFit& linear,
               const FitSettings& settings, const Deadline& deadline, ThreadPool& pool, SelectionCost& cost,
               FitResult& result, std::vector<Network>& fold_networks) {
  if (deadline.passed()) {
    cost.cut_short = true;
    return false;
  }
  const TrainingRows& first = look ? look->rows : rows;
  Matrix<float> gates = draw_gates_with_linear(settings.gates_from, static_cast<std::size_t>(settings.gates),
                                               gate_sample(first), settings.seed);
  if (gates.rows() == 1) return false;  // the linear group alone
  if (rows.backend() != nullptr) result.device = described(*rows.backend());
  std::optional<Progress> progress(std::in_place, "gated program, metric of the rows");
  const MomentSpectrum moments = gated_moments(first.design(), first.targets().weights, linear.moments, pool);
  cost.flops += moments.flops;
  GatedRows on{&first, gated_metric(moments)};
  const Deadline selected = deadline.share(kSelectionShare);
  const HeldOut& rival = linear.at_first_look ? *linear.at_first_look : linear.selected;
  const GatedPath points = gated_path(gates, rival, first, on.metric, settings, pool, cost);
  progress.reset();
  const bool more_rows = look && !look->has_all_rows();
  const HeldOut drawn =
      select_gated(gates, rival, points, first, on.metric, settings, more_rows ? PathSearch::Coarse : PathSearch::Close,
                   selected, pool, result.path, cost);
  // Some of the rows say where to look, not whether gates pay; and gates that they have turned are no better than
  // drawn.
  HeldOut best =
      more_rows ? drawn : refine_gated(drawn, rival, first, on.metric, settings, selected, pool, result.path, cost);
  if (!more_rows && !is_better(best, rival, first, kClearly)) return false;

  Matrix<float> w = mean_of_folds(drawn.weights);
  progress.emplace("gated program, gates of all rows");
  Candidate candidate = best.candidate;
  candidate.penalty = drawn.candidate.penalty;
  refine(on, candidate, candidate.refinements, drawn.curvature, deadline, pool, cost, gates, w);
  progress.reset();
  if (look) {
    on = {&rows, gated_metric(look->lift(moments, kMetricDirections))};
    gates = look->lift(gates);
    w = look->lift(w);
    best = look->lift(best);
    look.reset();
    best = more_rows ? settle_on_more_rows(set, on, best, linear, settings, selected, pool, cost, result)
                     : settle_gated(best, rows, on.metric, settings.folds, selected, pool, result.path, cost);
    if (!is_better(best, linear.selected, rows, kClearly)) return false;
    if (more_rows && best.candidate.refinements > 0) {  // a fold's gates, turned once more by all rows
      progress.emplace("gated program, gates of all rows");
      gates = best.gates.front();
      w = best.weights.front();
      refine(on, best.candidate, 1, best.curvature, deadline, pool, cost, gates, w);
      progress.reset();
    }
  }
  GatedSettings solver_settings = gated_settings(rows, gates.rows(), best.candidate.linear_weight);
  solver_settings.max_iterations = kMostIterations;
  progress.emplace("gated program on all rows");
  GatedOperator<float> f(rows.design(), gates.view(), pool);
  GatedSolver solver(f, rows.targets(), on.metric, solver_settings);
  solver.start_from(w, best.curvature);
  result.phase_one = solver.solve(best.candidate.penalty, settings.tolerance, deadline);
  result.chosen = best.candidate;
  const GatedWeights& weights = solver.weights();
  result.certificate = certify_gated(rows.design(), rows.targets(), gates.view(), weights.w.view(), weights.bias,
                                     solver_settings.bias, best.candidate.penalty, solver_settings.group_weights);
  progress.reset();
  const std::vector<std::size_t> kept = nonzero_groups(weights.w);
  result.network = network_of(weights.w, gates, kept);
  result.network.bias = static_cast<float>(weights.bias);
  // Phase II weighs neurons that other rows have made, and they must be the same neurons in every fold. Each fold has
  // turned its gates its own way: so the folds are fitted once more with the gates of all rows.
  const bool own_gates = best.candidate.refinements > 0 || more_rows;
  fold_networks = networks_of_folds(rows,
                                    own_gates ? fit_folds(gates, weights.w, solver.curvature(), best.candidate, rows,
                                                          on.metric, settings.folds, deadline, pool, cost)
                                              : best,
                                    kept, settings.folds);
  return true;
}

/// Phase I of the paper's two programs.
void fit_published(const TrainingRows& rows, const FitSettings& settings, const Deadline& deadline, ThreadPool& pool,
                   FitResult& result, std::vector<Network>& fold_networks) {
  const bool cronos = settings.model_class == ModelClass::Cronos;
  try {
    (cronos ? fit_cronos : fit_relu)(rows, settings, deadline.not_before(kLeastPublished_s), pool, result,
                                     fold_networks);
  } catch (const Late&) {
    throw Error(
        ErrorCode::BadUsage,
        fmt::format("the time limit of {:g} s is over before the {} program has its first point: nothing is written",
                    settings.time_limit_s, name_of(settings.model_class)),
        "raise --time-limit or lower --cronos-gates; the gated and linear classes give their best within any "
        "limit");
  }
}

/// Phase II on out-of-fold activations, and the level of the scores.
/// @param fold_networks  none when there was no time for them: then the second layer stays Phase I's, and the level is
///                       that of the rows that it was fitted on
void fit_second_layer(const TrainingRows& rows, std::vector<Network> fold_networks, bool pairwise,
                      const FitSettings& settings, Deadline deadline, ThreadPool& pool, FitResult& result) {
  const Progress progress("Phase II");
  if (fold_networks.empty()) {
    fold_networks.assign(static_cast<std::size_t>(settings.folds), result.network);
    deadline = Deadline::after(0);
  } else {
    deadline = deadline.not_before(kLeastPhaseTwo_s);
  }
  const std::vector<double> start(result.network.theta2.begin(), result.network.theta2.end());
  const PhaseTwoRows single = out_of_fold_rows(rows, fold_networks, start.size(), pool);
  result.phase_two = fit_phase_two(pairwise ? as_pairs(single, rows.targets()) : single, start,
                                   static_cast<double>(result.network.bias), settings.phase_two, deadline);
  const std::vector<double>& theta2 = result.phase_two.theta2;
  std::transform(theta2.begin(), theta2.end(), result.network.theta2.begin(),
                 [](double value) { return static_cast<float>(value); });
  result.network.bias = static_cast<float>(result.phase_two.bias);

  // Out-of-fold scores of single responses. A head trained on differences has no absolute level: its scores are
  // centred, so that 0 is the average response and the sigmoid of a score is a comparison with it.
  double sum = 0;
  double squares = 0;
  for (std::size_t i = 0; i < single.activations.rows(); ++i) {
    double score = result.phase_two.bias;
    for (std::size_t j = 0; j < theta2.size(); ++j) score += theta2[j] * single.activations(i, j);
    sum += score;
    squares += score * score;
  }
  if (!std::isfinite(squares)) {
    throw Error(ErrorCode::BadInput, "the scores are not finite: the features are too large",
                "scale the features down");
  }
  const double count = static_cast<double>(single.activations.rows());
  result.score_mean = sum / count;
  result.score_deviation = std::sqrt(std::max(0.0, squares / count - result.score_mean * result.score_mean));
  if (pairwise) result.network.bias = static_cast<float>(-result.score_mean);
}

}  // namespace

void check_fit(const FeatureSet& outline, const FitSettings& settings) {
  check_rows_and_settings(outline, settings);
  const FeatureTransform identity = FeatureTransform::identity(outline.dimension());
  TrainingRows(outline, identity, loss_of(outline, settings), settings.folds, settings.seed);
}

FitResult fit_head(const FeatureSet& set, const FitSettings& settings, ThreadPool& pool, Backend* backend) {
  check_rows_and_settings(set, settings);
  if (settings.length_control != LengthControl::None) {
    const LengthControlledSet controlled = length_controlled(set, settings, pool);
    FitSettings rest = settings;
    rest.length_control = LengthControl::None;
    FitResult result = fit_head(controlled.set, rest, pool, backend);
    result.length_control = settings.length_control;
    result.length_slope = controlled.slope;
    return result;
  }
  const bool pairs = set.kind == FeatureKind::Pairs;
  const Loss preference_loss = pairs ? Loss::BradleyTerry : Loss::Logistic;
  const bool published = is_published(settings.model_class);
  FitResult result;
  result.model_class = settings.model_class;
  result.loss = loss_of(set, settings);
  result.phase_two_settings = settings.phase_two;
  if (backend != nullptr) check_device_room(size_of(set), settings, *backend);
  SelectionCost cost;
  const Deadline deadline = settings.time_limit_s > 0 ? Deadline::after(settings.time_limit_s) : Deadline();

  // The baseline: ridge logistic regression. Unless the program has another loss it is the linear candidate too.
  result.baseline_transform = standardising_transform(set);
  const TrainingRows preference_rows(set, result.baseline_transform, preference_loss, settings.folds, settings.seed,
                                     backend);
  const bool baseline_only = settings.model_class == ModelClass::Linear && result.loss == preference_loss;
  std::optional<Look> look =
      first_look(set, result.baseline_transform, preference_rows, settings.folds, settings.seed, pool, cost);
  LinearFit linear = fit_linear(preference_rows, look ? &*look : nullptr, settings.folds, settings.rule,
                                baseline_only ? deadline : deadline.share(kBaselineShare), pool, cost);
  result.baseline = network_of(linear.weights.w, Matrix<float>(1, set.dimension()), {0});
  result.baseline.bias = static_cast<float>(linear.weights.bias);
  result.baseline_penalty_ratio = linear.selected.candidate.penalty_ratio;
  if (published) cost.cut_short = false;  // that of the baseline; the paper's programs select nothing

  result.transform = published ? FeatureTransform::identity(set.dimension())  // raw features, as published
                               : result.baseline_transform;
  std::optional<TrainingRows> own_rows;
  if (result.loss != preference_loss) {
    own_rows.emplace(set, result.transform, result.loss, settings.folds, settings.seed, backend);
  }
  const TrainingRows& rows = own_rows ? *own_rows : preference_rows;
  result.bytes_of_x = rows.design().bytes();

  std::vector<Network> fold_networks;
  if (published) {
    fit_published(rows, settings, deadline, pool, result, fold_networks);
  } else {
    const bool linear_only = settings.model_class == ModelClass::Linear;
    if (own_rows) {
      look.reset();  // one copy at a time
      look = first_look(set, result.transform, rows, settings.folds, settings.seed, pool, cost);
      linear = fit_linear(rows, look ? &*look : nullptr, settings.folds, settings.rule,
                          linear_only ? deadline : deadline.share(kBaselineShare), pool, cost);
    }
    result.path = linear.path;
    if (linear_only || !fit_gated(set, rows, look, linear, settings, deadline, pool, cost, result, fold_networks)) {
      take_linear(rows, linear, settings.folds, result, fold_networks);
    }
    result.phase_one.objective = result.certificate->objective;
    result.phase_one.dual_objective = result.certificate->dual_objective;
  }
  throw_if_interrupted();

  const bool pairwise = pairs && settings.phase_two.objective != PhaseTwoObjective::Pointwise;
  fit_second_layer(rows, std::move(fold_networks), pairwise, settings, deadline, pool, result);
  if (settings.as_relu) result.relu_form = take_relu_form(result.network, rows, pool);
  result.selection_seconds = cost.seconds;
  result.selection_flops = cost.flops;
  result.selection_passes =
      static_cast<std::uint64_t>(std::llround(cost.bytes_read / static_cast<double>(rows.design().bytes())));
  result.selection_cut_short = cost.cut_short;
  return result;
}

}  // namespace coala
