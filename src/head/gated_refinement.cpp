#include "head/gated_refinement.h"

#include <deque>
#include <optional>
#include <utility>

#include "core/progress.h"
#include "core/resources.h"
#include "head/gated_folds.h"
#include "solver/gates.h"

namespace coala {
namespace {

/// Rounds in a row without a lower held-out loss that end a refinement.
constexpr int kTurnedRounds = 2;

/// Between penalties that are tried beside the best.
constexpr double kPenaltyStep = 0.7;

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

  /// @param rival  see evaluate_folds()
  HeldOut judge(const Candidate& candidate, Progress& progress, const HeldOut* rival = nullptr) {
    return evaluate_folds(folds_, candidate, rows_, deadline_, path_, progress, 0, rival);
  }

  /// Turns the gates towards the weights until the held-out loss has not fallen kTurnedRounds times in a row; the best.
  /// @param rival  what the best must come before: the search ends where rounds such as the first would not be enough
  HeldOut refine(HeldOut best, const HeldOut& rival, Progress& progress) {
    HeldOut last = best;
    const double behind = best.candidate.held_out_loss - rival.candidate.held_out_loss;
    for (int round = 0, above = 0; round < kMostRounds && above < kTurnedRounds && !late(); ++round) {
      HeldOut next = turn(last, progress, above + 1 == kTurnedRounds ? &best : nullptr);
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

}  // namespace coala
