#include "head/gated_folds.h"

#include <algorithm>
#include <utility>

#include "core/interrupt.h"
#include "core/resources.h"

namespace coala {
namespace {

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

}  // namespace

GatedFold::GatedFold(const TrainingRows& rows, int fold)
    : number_(fold),
      seen_(rows.outside_fold(fold)),
      unseen_(rows.inside_fold(fold)),
      share_(seen_.weight() / rows.total_weight()) {}

void GatedFold::start(const Matrix<float>& gates, const Matrix<float>& w, const GatedMetric& metric,
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

double GatedFold::fit(double penalty, double tolerance, double curvature, const Deadline& deadline, HeldOut& held_out) {
  solver_->assume_curvature(curvature);
  solver_->solve(penalty * share_, tolerance, deadline);
  of_seen_->release_tables();  // of many columns they are large, and the folds take turns
  take_fold(held_out, number_, unseen_, *of_unseen_, gates_, solver_->weights());
  return solver_->curvature();
}

void GatedFold::count(SelectionCost& cost) const {
  for (const auto* f : {&of_seen_, &of_unseen_}) {
    if (*f) cost.add(**f);
  }
}

std::deque<GatedFold> gated_folds(const TrainingRows& rows, int folds, std::size_t most) {
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
  settings.backend = rows.backend();
  settings.features = rows.loaded();
  return settings;
}

std::vector<double> group_weights(std::size_t groups, double linear_weight) {
  std::vector<double> weights(groups, 1.0);
  weights.front() = linear_weight;
  return weights;
}

HeldOut evaluate_folds(std::deque<GatedFold>& folds, const Candidate& candidate, const TrainingRows& rows,
                       const Deadline& deadline, std::vector<Candidate>& path, Progress& progress, double curvature,
                       const HeldOut* rival) {
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
  judge_held_out(one, rows);
  path.push_back(one.candidate);
  return one;
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
  HeldOut result = evaluate_folds(fitted, candidate, rows, deadline, path, progress, curvature);
  for (const GatedFold& fold : fitted) fold.count(cost);
  cost.seconds += monotonic_s() - start_s;
  return result;
}

}  // namespace coala
