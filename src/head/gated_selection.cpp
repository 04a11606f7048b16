#include "head/gated_selection.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <optional>
#include <utility>

#include "core/progress.h"
#include "core/resources.h"
#include "head/gated_folds.h"

namespace coala {
namespace {

/// Ratio to beta_max at which the path of the gated program begins: above it every model is one short step away from
/// the constant.
constexpr double kPathStart = 0.5;

/// Points in a row above the minimum that end a path.
constexpr int kPathTurned = 2;

/// Smallest weight of the linear group: lighter ones differ in the fourth digit of the loss. It is reached by halves.
constexpr double kLightest = 1.0 / 8;
constexpr std::size_t kMostLighter = 3;

/// Weights of the gated program [P, d] that are a linear model's [1, d].
Matrix<float> beside_linear(const Matrix<float>& linear, std::size_t groups) {
  Matrix<float> w(groups, linear.cols());
  std::ranges::copy(linear.row(0), w.row(0).begin());
  return w;
}

}  // namespace

double GatedPath::ratio(int k) const {
  return length > 1 ? kPathStart * std::pow(end / kPathStart, static_cast<double>(k) / (length - 1)) : kPathStart;
}

GatedPath gated_path(const Matrix<float>& gates, const HeldOut& linear, const TrainingRows& rows,
                     const GatedMetric& metric, const FitSettings& settings, ThreadPool& pool, SelectionCost& cost) {
  GatedOperator<float> f(rows.design(), gates.view(), pool);
  GatedSolver solver(f, rows.targets(), metric, gated_settings(rows, gates.rows(), 1));
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
  const PathWalk walk{points.length, stride, search == PathSearch::Close ? kPathTurned : 1};
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
    judged.emplace(*next, evaluate_folds(folds, candidate, rows, deadline, path, progress, 0, rival));
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
    HeldOut next = evaluate_folds(folds, lighter, rows, deadline, path, progress, 0, &best);
    if (!is_lower(next, best)) break;
    best = std::move(next);
  }
  for (const GatedFold& fold : folds) fold.count(cost);
  cost.seconds += monotonic_s() - start_s;
  return best;
}

}  // namespace coala
