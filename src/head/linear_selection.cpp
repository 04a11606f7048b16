#include "head/linear_selection.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <optional>
#include <utility>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/resources.h"

namespace coala {
namespace {

/// Points in a row above the minimum that end the path. They are farther apart than those of the gated program, and the
/// weakest penalties cost the most iterations: they were above the minimum on all stored features.
constexpr int kLinearTurned = 3;

// lambda / (sum of weights): features have variance 1, so the range spans "almost nothing" to "almost free".
constexpr int kLinearLength = 13;
/// Where a path begins: language models' features are best at 0.3 to 0.01.
constexpr int kLinearStart = 4;
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
      fold.solver.solve(one.candidate.penalty_ratio * fold.seen.weight(), kTolerance, deadline, kGap);
      take_fold(one, fold.number, fold.unseen, fold.of_unseen, zero_gate_, fold.solver.weights());
      progress.advance(1);
    }
    judge_held_out(one, *rows_);
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

}  // namespace coala
