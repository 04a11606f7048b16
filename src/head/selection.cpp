#include "head/selection.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/resources.h"
#include "head/linear_fit.h"
#include "head/penalty_path.h"
#include "solver/gates.h"

namespace coala {
namespace {

bool was_judged_on(const HeldOut& held_out, const TrainingRows& rows, std::size_t i) {
  return std::ranges::find(held_out.folds, rows.fold()[i]) != held_out.folds.end();
}

/// Standard error of the mean held-out loss, as the folds' means scatter about it.
double error_of_folds(const HeldOut& held_out, const TrainingRows& rows, double mean) {
  const Targets& targets = rows.targets();
  std::map<int, std::pair<double, double>> folds;  // loss, weight
  double weight = 0;
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    if (!was_judged_on(held_out, rows, i)) continue;
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

/// The factor in [0, kLargestScale] that makes the loss of the predictions least, by Newton's method on a convex
/// function of one variable.
double best_scale(const std::vector<double>& predictions, const Targets& targets) {
  constexpr double kLargestScale = 16;  // predictions that separate the rows have no best one
  constexpr int kMostSteps = 50;
  constexpr double kTolerance = 1e-6;
  double low = 0;
  double high = kLargestScale;
  double scale = 1;
  for (int step = 0; step < kMostSteps && high - low > kTolerance; ++step) {
    double slope = 0;
    double curvature = 0;
    for (std::size_t i = 0; i < predictions.size(); ++i) {
      const double z = predictions[i];
      slope += z * loss_derivative(targets, i, scale * z);
      curvature += z * z * loss_curvature(targets, i, scale * z);
    }
    (slope > 0 ? high : low) = scale;
    const double newton = scale - slope / curvature;
    const double next = newton > low && newton < high ? newton : 0.5 * (low + high);
    if (std::abs(next - scale) < kTolerance * scale) break;
    scale = next;
  }
  return scale;
}

/// Folds after which a penalty that is behind its rival is given up.
constexpr std::size_t kFirstFolds = 2;
constexpr double kGivenUp = std::numeric_limits<double>::infinity();  ///< its held-out loss

/// Whether the predictions of the folds so far are no better than the rival's of the same rows, each at its best scale
/// there. Neighbouring penalties err on the same rows, so a part of the rows ranks them as all do, but for those that
/// are nearly as good as each other.
bool is_behind(const HeldOut& one, const HeldOut& rival, const TrainingRows& rows) {
  std::vector<double> of_rival = rival.predictions;
  for (std::size_t i = 0; i < of_rival.size(); ++i) {
    if (!was_judged_on(one, rows, i)) of_rival[i] = 0;
  }
  const double scale = best_scale(one.predictions, rows.targets());
  const double rival_scale = best_scale(of_rival, rows.targets());
  double more = 0;
  for (std::size_t i = 0; i < of_rival.size(); ++i) {
    more += loss_value(rows.targets(), i, scale * one.predictions[i]);
    more -= loss_value(rows.targets(), i, rival_scale * of_rival[i]);
  }
  return more >= 0;
}

/// Held-out loss and accuracy of predictions over the rows that count, at their best scale: Phase II sets the scale
/// anew, and on prompts that a model has not seen a weak penalty mostly makes it too sure of what it gets right.
void judge(HeldOut& held_out, const TrainingRows& rows) {
  const Targets& targets = rows.targets();
  const double scale = best_scale(held_out.predictions, targets);
  for (double& z : held_out.predictions) z *= scale;
  double loss = 0;
  double right = 0;
  double weight = 0;
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    if (!was_judged_on(held_out, rows, i)) continue;
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

/// Takes what a fold's weights say of the rows that they have not seen.
void take_fold(HeldOut& held_out, int fold, const TrainingRows::Part& unseen, GatedOperator<float>& f,
               const Matrix<float>& gates, const GatedWeights& fitted) {
  held_out.folds.push_back(fold);
  held_out.gates.push_back(gates);
  held_out.weights.push_back(fitted.w);
  std::vector<float> z(f.rows());
  f.forward(fitted.w.view(), z);
  for (std::size_t k = 0; k < z.size(); ++k) {
    held_out.predictions[unseen.rows[k]] = static_cast<double>(z[k]) + fitted.bias;
  }
}

bool is_lower(const HeldOut& a, const HeldOut& b) {
  return a.candidate.held_out_loss < b.candidate.held_out_loss;
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

/// Ratio to beta_max at which the path of the gated program begins: above it every model is one short step away from
/// the constant.
constexpr double kPathStart = 0.5;

/// Points in a row above the minimum that end a path. Those of the ridge are farther apart, and the weakest penalties
/// cost the most iterations: they were above the minimum on all stored features.
constexpr int kTurned = 2;
constexpr int kLinearTurned = 3;

/// Between penalties that are tried beside the best.
constexpr double kPenaltyStep = 0.7;

/// Smallest weight of the linear group: lighter ones differ in the fourth digit of the loss. It is reached by halves.
constexpr double kLightest = 1.0 / 8;
constexpr std::size_t kMostLighter = 3;

/// Folds that hold at least one row; an empty fold would fit all rows once more for nothing.
std::vector<int> used_folds(const TrainingRows& rows, int folds) {
  std::vector<int> used;
  for (int fold = 0; fold < folds; ++fold) {
    if (std::find(rows.fold().begin(), rows.fold().end(), fold) != rows.fold().end()) used.push_back(fold);
  }
  return used;
}

/// The gated program on the rows of all folds but one.
class GatedFold {
 public:
  GatedFold(const TrainingRows& rows, int fold)
      : number_(fold),
        seen_(rows.outside_fold(fold)),
        unseen_(rows.inside_fold(fold)),
        share_(sum(seen_.targets.weights) / rows.total_weight()) {}

  /// Starts from `w` [P, d].
  void start(const Matrix<float>& gates, const Matrix<float>& w, const GatedMetric& metric,
             const GatedSettings& settings, ThreadPool& pool, SelectionCost& cost) {
    if (gates_.rows() == 0 || !std::ranges::equal(gates.values(), gates_.values())) {
      count(cost);
      gates_ = gates;
      of_seen_.emplace(seen_.design, gates_.view(), pool);
      of_unseen_.emplace(unseen_.design, gates_.view(), pool);
    }
    const double curvature = solver_ ? solver_->curvature() : 0;
    solver_.emplace(*of_seen_, seen_.targets, metric, settings);
    solver_->start_from(w, curvature);
  }

  /// The loss is a sum: a fold's penalty shrinks with its weight so that the trade-off stays the same.
  /// @param curvature  to begin with, when none is known
  /// @returns  the curvature that was met
  double fit(double penalty, double tolerance, double curvature, const Deadline& deadline, HeldOut& held_out) {
    solver_->assume_curvature(curvature);
    solver_->solve(penalty * share_, tolerance, deadline);
    of_seen_->release_tables();  // of many columns they are large, and the folds take turns
    take_fold(held_out, number_, unseen_, *of_unseen_, gates_, solver_->weights());
    return solver_->curvature();
  }

  /// Adds the work of the operators so far; once, before they go.
  void count(SelectionCost& cost) const {
    for (const auto* f : {&of_seen_, &of_unseen_}) {
      if (*f) cost.add(**f);
    }
  }

 private:
  int number_;
  TrainingRows::Part seen_;
  TrainingRows::Part unseen_;
  double share_;  ///< of the rows' weight
  Matrix<float> gates_;
  std::optional<GatedOperator<float>> of_seen_;
  std::optional<GatedOperator<float>> of_unseen_;
  std::optional<GatedSolver> solver_;
};

/// In a deque: solvers point into their folds, which must stay where they are.
std::deque<GatedFold> gated_folds(const TrainingRows& rows, int folds, std::size_t most = SIZE_MAX) {
  std::deque<GatedFold> result;
  for (const int fold : used_folds(rows, folds)) {
    if (result.size() < most) result.emplace_back(rows, fold);
  }
  return result;
}

GatedSettings gated_settings(const TrainingRows& rows, std::size_t groups, double linear_weight) {
  GatedSettings settings;
  settings.bias = !rows.pairwise();
  settings.group_weights = group_weights(groups, linear_weight);
  return settings;
}

/// Fits every fold at the candidate's penalty and judges the models on the rows that they have not seen.
/// @param curvature  of a similar program, 0 for none; a fold that knows none takes that of the one before it
/// @param rival      a candidate that is behind it after the first folds is given up; none: all folds are fitted
HeldOut evaluate(std::deque<GatedFold>& folds, const Candidate& candidate, const TrainingRows& rows,
                 const Deadline& deadline, std::vector<Candidate>& path, Progress& progress, double curvature = 0,
                 const HeldOut* rival = nullptr) {
  HeldOut one;
  one.candidate = candidate;
  one.predictions.assign(rows.rows(), 0.0);
  for (GatedFold& fold : folds) {
    throw_if_interrupted();
    if (rival != nullptr && one.folds.size() == kFirstFolds && is_behind(one, *rival, rows)) {
      one.candidate.held_out_loss = kGivenUp;
      return one;
    }
    curvature = fold.fit(candidate.penalty, kSelectionTolerance, curvature, deadline, one);
    progress.advance(1);
  }
  one.curvature = curvature;
  one.candidate.active_groups = active_groups(one.weights);
  judge(one, rows);
  path.push_back(one.candidate);
  return one;
}

}  // namespace

std::vector<double> group_weights(std::size_t groups, double linear_weight) {
  std::vector<double> weights(groups, 1.0);
  weights.front() = linear_weight;
  return weights;
}

namespace {

// lambda / (sum of weights): features have variance 1, so the range spans "almost nothing" to "almost free".
constexpr int kLinearLength = 13;
/// Where a path begins: language models' features are best at 0.3 to 0.01.
constexpr int kLinearStart = 4;
/// Of fewer rows the held-out loss may have several minima, and fits cost next to nothing: paths begin at their strong
/// end, so that the strongest penalty that does as well is seen.
constexpr std::size_t kFewRows = 1024;
double linear_ratio(int k) {
  constexpr double kLargest = 10;
  constexpr double kSmallest = 1e-5;
  return kLargest * std::pow(kSmallest / kLargest, static_cast<double>(k) / (kLinearLength - 1));
}

/// The ridge on the rows of all folds but one.
struct LinearFold {
  int number;
  TrainingRows::Part seen;
  TrainingRows::Part unseen;
  GatedOperator<float> of_seen;
  GatedOperator<float> of_unseen;
  LinearSolver solver;

  LinearFold(const TrainingRows& rows, int fold, const Matrix<float>& zero_gate, const MomentSpectrum& moments,
             ThreadPool& pool)
      : number(fold),
        seen(rows.outside_fold(fold)),
        unseen(rows.inside_fold(fold)),
        of_seen(seen.design, zero_gate.view(), pool),
        of_unseen(unseen.design, zero_gate.view(), pool),
        solver(of_seen, seen.targets, moments, !rows.pairwise()) {}
};

/// Weights of the gated program [P, d] that are a linear model's [1, d].
Matrix<float> beside_linear(const Matrix<float>& linear, std::size_t groups) {
  Matrix<float> w(groups, linear.cols());
  std::ranges::copy(linear.row(0), w.row(0).begin());
  return w;
}

/// All folds, and the points of the path that they have been judged at.
class LinearPath {
 public:
  LinearPath(const TrainingRows& rows, const MomentSpectrum& moments, int folds, ThreadPool& pool)
      : rows_(&rows), zero_gate_(1, rows.dimension()) {
    for (const int fold : used_folds(rows, folds)) folds_.emplace_back(rows, fold, zero_gate_, moments, pool);
  }

  void start_from(const std::vector<Matrix<float>>& weights) {
    for (std::size_t k = 0; k < folds_.size(); ++k) folds_[k].solver.start_from(weights[k]);
  }

  /// Fits and judges point k of the path.
  /// @param rival  when the point is behind it after the first folds, it is given up; none: all folds are fitted
  const Candidate& judge_at(int k, const Deadline& deadline, Progress& progress, const HeldOut* rival = nullptr) {
    // Far below what the held-out loss can tell apart.
    constexpr double kTolerance = 1e-3;  // of the gradient
    constexpr double kGap = 1e-5;
    HeldOut& one = judged_[k];
    one.candidate.linear = true;
    one.candidate.penalty_ratio = linear_ratio(k);
    one.candidate.penalty = one.candidate.penalty_ratio * rows_->total_weight();
    one.candidate.active_groups = 1;
    one.predictions.assign(rows_->rows(), 0.0);
    for (LinearFold& fold : folds_) {
      throw_if_interrupted();
      if (rival != nullptr && one.folds.size() == kFirstFolds && is_behind(one, *rival, *rows_)) {
        one.candidate.held_out_loss = kGivenUp;
        return one.candidate;
      }
      fold.solver.solve(one.candidate.penalty_ratio * sum(fold.seen.targets.weights), kTolerance, deadline, kGap);
      take_fold(one, fold.number, fold.unseen, fold.of_unseen, zero_gate_, fold.solver.weights());
      progress.advance(1);
    }
    judge(one, *rows_);
    return one.candidate;
  }

  std::size_t folds() const { return folds_.size(); }

  const Judged& judged() const { return judged_; }

  HeldOut take(SelectionRule rule, SelectionCost& cost) {
    for (const LinearFold& fold : folds_) {
      cost.add(fold.of_seen);
      cost.add(fold.of_unseen);
    }
    return take_by(rule, std::move(judged_));
  }

 private:
  const TrainingRows* rows_;
  Matrix<float> zero_gate_;
  std::deque<LinearFold> folds_;  // solvers point into their folds
  Judged judged_;
};

}  // namespace

HeldOut select_linear(const TrainingRows& rows, const MomentSpectrum& moments, int folds, SelectionRule rule,
                      PathSearch search, const Deadline& deadline, ThreadPool& pool, std::vector<Candidate>& path,
                      SelectionCost& cost) {
  const double start_s = monotonic_s();
  LinearPath points(rows, moments, folds, pool);
  Progress progress("linear model, choosing a penalty", kLinearLength * points.folds(), "fits");
  progress.may_end_early();
  const PathWalk walk{kLinearLength, 1, search == PathSearch::Close ? kLinearTurned : 1};
  const int start = rows.rows() < kFewRows ? 0 : kLinearStart;
  for (std::optional<int> next = start; next; next = next_point(points.judged(), rule, walk)) {
    if (!points.judged().empty() && deadline.passed()) {
      cost.cut_short = true;
      break;
    }
    path.push_back(points.judge_at(*next, deadline, progress));
  }
  HeldOut best = points.take(rule, cost);
  cost.seconds += monotonic_s() - start_s;
  return best;
}

HeldOut settle_linear(const HeldOut& start, const TrainingRows& rows, const MomentSpectrum& moments, int folds,
                      SelectionRule rule, const Deadline& deadline, ThreadPool& pool, std::vector<Candidate>& path,
                      SelectionCost& cost) {
  const double start_s = monotonic_s();
  LinearPath points(rows, moments, folds, pool);
  points.start_from(start.weights);
  Progress progress("linear model, penalty on all rows and columns");
  const auto distance = [&](int k) { return std::abs(std::log(linear_ratio(k) / start.candidate.penalty_ratio)); };
  int k = 0;
  while (k + 1 < kLinearLength && distance(k + 1) < distance(k)) ++k;
  for (std::optional<int> next = k; next; next = next_point(points.judged(), rule, {kLinearLength, 1, 1})) {
    if (!points.judged().empty() && deadline.passed()) {
      cost.cut_short = true;
      break;
    }
    // A stronger penalty may be taken although it is behind, where the rule asks for one.
    const bool may_give_up = rule == SelectionRule::LowestLoss && !points.judged().empty();
    const HeldOut* const rival = may_give_up ? &lowest(points.judged())->second : nullptr;
    const Candidate& candidate = points.judge_at(*next, deadline, progress, rival);
    if (candidate.held_out_loss == kGivenUp) continue;
    const auto same = std::ranges::find(path, candidate.penalty_ratio, &Candidate::penalty_ratio);
    if (same != path.end()) {
      *same = candidate;
    } else {
      path.push_back(candidate);
    }
  }
  HeldOut best = points.take(rule, cost);
  cost.seconds += monotonic_s() - start_s;
  return best;
}

double GatedPath::ratio(int k) const {
  return length > 1 ? kPathStart * std::pow(end / kPathStart, static_cast<double>(k) / (length - 1)) : kPathStart;
}

GatedPath gated_path(const Matrix<float>& gates, const HeldOut& linear, const TrainingRows& rows,
                     const GatedMetric& metric, const FitSettings& settings, ThreadPool& pool, SelectionCost& cost) {
  GatedOperator<float> f(rows.design(), gates.view(), pool);
  GatedSolver solver(f, rows.targets(), metric, {.bias = !rows.pairwise()});
  GatedPath points{solver.beta_max(), settings.path_end, settings.path_length, 0};
  if (rows.rows() >= kFewRows) {
    solver.start_from(beside_linear(mean_of_folds(linear.weights), gates.rows()));
    const double opens = solver.opening_beta();
    while (points.start + 1 < points.length && points.ratio(points.start) * points.beta_max > opens) ++points.start;
  }
  cost.add(f);
  return points;
}

HeldOut select_gated(const Matrix<float>& gates, const HeldOut& linear, const GatedPath& points,
                     const TrainingRows& rows, const GatedMetric& metric, const FitSettings& settings,
                     PathSearch search, const Deadline& deadline, ThreadPool& pool, std::vector<Candidate>& path,
                     SelectionCost& cost) {
  const double start_s = monotonic_s();
  std::deque<GatedFold> folds = gated_folds(rows, settings.folds);
  for (std::size_t k = 0; k < folds.size(); ++k) {
    const Matrix<float> w = beside_linear(linear.weights[k], gates.rows());
    folds[k].start(gates, w, metric, gated_settings(rows, gates.rows(), 1), pool, cost);
  }

  Progress progress("gated program, choosing a penalty",
                    (static_cast<std::size_t>(points.length) + kMostLighter) * folds.size(), "fits");
  progress.may_end_early();
  Judged judged;
  const int stride = search == PathSearch::Close ? 1 : 2;
  const PathWalk walk{points.length, stride, search == PathSearch::Close ? kTurned : 1};
  for (std::optional<int> next = points.start; next; next = next_point(judged, settings.rule, walk)) {
    if (!judged.empty() && deadline.passed()) {
      cost.cut_short = true;
      break;
    }
    Candidate candidate;
    candidate.penalty_ratio = points.ratio(*next);
    candidate.penalty = candidate.penalty_ratio * points.beta_max;
    // No rule takes a weaker penalty that is behind.
    const bool may_give_up =
        !judged.empty() && (settings.rule == SelectionRule::LowestLoss || *next > judged.begin()->first);
    const HeldOut* const rival = may_give_up ? &lowest(judged)->second : nullptr;
    judged.emplace(*next, evaluate(folds, candidate, rows, deadline, path, progress, 0, rival));
  }
  HeldOut best = take_by(settings.rule, std::move(judged));
  // One penalty for all groups shrinks the linear model as much as what is added to it.
  while (best.candidate.linear_weight > kLightest && !deadline.passed()) {
    Candidate lighter = best.candidate;
    lighter.linear_weight /= 2;
    const GatedSettings lighter_settings = gated_settings(rows, gates.rows(), lighter.linear_weight);
    for (std::size_t k = 0; k < folds.size(); ++k) {
      folds[k].start(gates, best.weights[k], metric, lighter_settings, pool, cost);
    }
    HeldOut next = evaluate(folds, lighter, rows, deadline, path, progress, 0, &best);
    if (!is_lower(next, best)) break;
    best = std::move(next);
  }
  for (const GatedFold& fold : folds) fold.count(cost);
  cost.seconds += monotonic_s() - start_s;
  return best;
}

namespace {

/// Folds with gates of their own, that go on from a candidate.
class GatedSearch {
 public:
  GatedSearch(const TrainingRows& rows, const GatedMetric& metric, std::deque<GatedFold> folds,
              const Deadline& deadline, ThreadPool& pool, std::vector<Candidate>& path, SelectionCost& cost)
      : rows_(rows),
        metric_(metric),
        deadline_(deadline),
        pool_(pool),
        path_(path),
        cost_(cost),
        folds_(std::move(folds)) {}
  GatedSearch(const GatedSearch&) = delete;
  GatedSearch& operator=(const GatedSearch&) = delete;
  ~GatedSearch() {
    for (const GatedFold& fold : folds_) fold.count(cost_);
  }

  std::size_t folds() const { return folds_.size(); }

  /// Whether the time is over; the cost then says so.
  bool late() const {
    cost_.cut_short = cost_.cut_short || deadline_.passed();
    return deadline_.passed();
  }

  void start_from(const std::vector<Matrix<float>>& gates, const HeldOut& start) {
    const GatedSettings settings = gated_settings(rows_, gates.front().rows(), start.candidate.linear_weight);
    for (std::size_t k = 0; k < folds_.size(); ++k) {
      folds_[k].start(gates[k], start.weights[k], metric_, settings, pool_, cost_);
    }
  }

  /// @param rival  see evaluate()
  HeldOut judge(const Candidate& candidate, Progress& progress, const HeldOut* rival = nullptr) {
    return evaluate(folds_, candidate, rows_, deadline_, path_, progress, 0, rival);
  }

  /// Turns the gates towards the weights until the held-out loss has not fallen kTurned times in a row; the best.
  /// @param rival  what the best must come before: the search ends where rounds such as the first would not be enough
  HeldOut refine(HeldOut best, const HeldOut& rival, Progress& progress) {
    HeldOut last = best;
    const double behind = best.candidate.held_out_loss - rival.candidate.held_out_loss;
    for (int round = 0, above = 0; round < kMostRounds && above < kTurned && !late(); ++round) {
      HeldOut next = turn(last, progress, above + 1 == kTurned ? &best : nullptr);
      if (round == 0 && behind > kMostRounds * (last.candidate.held_out_loss - next.candidate.held_out_loss)) break;
      last = std::move(next);
      above = is_lower(last, best) ? 0 : above + 1;
      if (above == 0) best = last;
    }
    return best;
  }

  /// The same for as long as a round is clearly better than the one before.
  HeldOut refine_while_clear(HeldOut best, Progress& progress) {
    bool clear = true;
    for (int round = 0; clear && round < kMostRounds && !late(); ++round) {
      HeldOut next = turn(best, progress, &best);
      if (!is_lower(next, best)) break;
      clear = is_better(next, best, rows_, kClearly);
      best = std::move(next);
    }
    return best;
  }

  /// The candidate with each fold's gates turned towards its weights.
  HeldOut turn(const HeldOut& one, Progress& progress, const HeldOut* rival = nullptr) {
    std::vector<Matrix<float>> turned;
    for (std::size_t k = 0; k < folds_.size(); ++k) turned.push_back(refine_gates(one.gates[k], one.weights[k]));
    start_from(turned, one);
    Candidate candidate = one.candidate;
    ++candidate.refinements;
    return judge(candidate, progress, rival);
  }

  /// From `best`, which the folds have started from or judged last, to penalties beside its own for as long as the
  /// held-out loss falls; the last that it fell with.
  HeldOut move_penalty(HeldOut best, double step, Progress& progress) {
    while (!late()) {
      Candidate candidate = best.candidate;
      candidate.penalty *= step;
      candidate.penalty_ratio *= step;
      HeldOut next = judge(candidate, progress, &best);
      if (!is_lower(next, best)) break;
      best = std::move(next);
    }
    return best;
  }

  static constexpr int kMostRounds = 10;

 private:
  const TrainingRows& rows_;
  const GatedMetric& metric_;
  const Deadline& deadline_;
  ThreadPool& pool_;
  std::vector<Candidate>& path_;
  SelectionCost& cost_;
  std::deque<GatedFold> folds_;
};

}  // namespace

HeldOut refine_gated(HeldOut best, const HeldOut& linear, const TrainingRows& rows, const GatedMetric& metric,
                     const FitSettings& settings, const Deadline& deadline, ThreadPool& pool,
                     std::vector<Candidate>& path, SelectionCost& cost) {
  const double start_s = monotonic_s();
  GatedSearch search(rows, metric, gated_folds(rows, settings.folds), deadline, pool, path, cost);
  std::optional<Progress> progress;
  progress.emplace("gated program, refining gates", static_cast<std::size_t>(GatedSearch::kMostRounds) * search.folds(),
                   "fits");
  progress->may_end_early();
  best = search.refine(std::move(best), linear, *progress);
  if (best.candidate.refinements > 0 && !search.late()) {
    progress.emplace("gated program, penalty of the refined gates");
    const HeldOut refined = best;
    for (const double step : {kPenaltyStep, 1 / kPenaltyStep}) {
      search.start_from(refined.gates, refined);
      HeldOut moved = search.move_penalty(refined, step, *progress);
      if (is_lower(moved, best)) best = std::move(moved);
    }
  }
  cost.seconds += monotonic_s() - start_s;
  return best;
}

HeldOut settle_gated(const HeldOut& start, const TrainingRows& rows, const GatedMetric& metric, int folds,
                     const Deadline& deadline, ThreadPool& pool, std::vector<Candidate>& path, SelectionCost& cost) {
  const double start_s = monotonic_s();
  GatedSearch search(rows, metric, gated_folds(rows, folds), deadline, pool, path, cost);
  Progress progress("gated program, penalty on all columns");
  search.start_from(start.gates, start);
  HeldOut best = search.judge(start.candidate, progress);
  // What the other columns hold shows in the loss: noise, when it has risen, wants a stronger penalty.
  const bool risen = best.candidate.held_out_loss > start.candidate.held_out_loss;
  best = search.move_penalty(std::move(best), risen ? 1 / kPenaltyStep : kPenaltyStep, progress);
  cost.seconds += monotonic_s() - start_s;
  return best;
}

HeldOut refine_with_more_rows(const HeldOut& start, const HeldOut* linear, const TrainingRows& rows,
                              const GatedMetric& metric, int folds, const Deadline& deadline, ThreadPool& pool,
                              std::vector<Candidate>& path, SelectionCost& cost) {
  const double start_s = monotonic_s();
  GatedSearch search(rows, metric, gated_folds(rows, folds, kFirstFolds), deadline, pool, path, cost);
  Progress progress("gated program, refining gates");
  search.start_from(start.gates, start);
  HeldOut best = search.judge(start.candidate, progress);
  if (linear == nullptr || is_better(best, *linear, rows, 0)) {
    const HeldOut refined = search.refine_while_clear(std::move(best), progress);
    best = refined;
    for (const double step : {kPenaltyStep, 1 / kPenaltyStep}) {
      if (best.candidate.penalty != refined.candidate.penalty) break;  // weaker ones were better
      search.start_from(refined.gates, refined);
      best = search.move_penalty(refined, step, progress);
    }
  }
  cost.seconds += monotonic_s() - start_s;
  return best;
}

HeldOut judge_with_more_rows(const HeldOut& start, const TrainingRows& rows, const GatedMetric& metric, int folds,
                             const Deadline& deadline, ThreadPool& pool, std::vector<Candidate>& path,
                             SelectionCost& cost) {
  const double start_s = monotonic_s();
  GatedSearch search(rows, metric, gated_folds(rows, folds, kFirstFolds), deadline, pool, path, cost);
  Progress progress("gated program, judged on all rows");
  search.start_from(start.gates, start);
  HeldOut judged = search.judge(start.candidate, progress);
  cost.seconds += monotonic_s() - start_s;
  return judged;
}

HeldOut fit_folds(const Matrix<float>& gates, const Matrix<float>& w, double curvature, const Candidate& candidate,
                  const TrainingRows& rows, const GatedMetric& metric, int folds, const Deadline& deadline,
                  ThreadPool& pool, SelectionCost& cost) {
  const double start_s = monotonic_s();
  std::deque<GatedFold> fitted = gated_folds(rows, folds);
  for (GatedFold& fold : fitted)
    fold.start(gates, w, metric, gated_settings(rows, gates.rows(), candidate.linear_weight), pool, cost);
  std::vector<Candidate> path;
  Progress progress("gated program, folds for Phase II", fitted.size(), "fits");
  HeldOut result = evaluate(fitted, candidate, rows, deadline, path, progress, curvature);
  for (const GatedFold& fold : fitted) fold.count(cost);
  cost.seconds += monotonic_s() - start_s;
  return result;
}

bool is_better(const HeldOut& a, const HeldOut& b, const TrainingRows& rows, double standard_errors) {
  double sum = 0;
  double squares = 0;
  double n = 0;
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    if (!was_judged_on(a, rows, i)) continue;
    const double gain =
        loss_value(rows.targets(), i, b.predictions[i]) - loss_value(rows.targets(), i, a.predictions[i]);
    sum += gain;
    squares += gain * gain;
    ++n;
  }
  const double variance = std::max(0.0, squares / n - sum / n * (sum / n));
  return sum / n > standard_errors * std::sqrt(variance / n);
}

}  // namespace coala
