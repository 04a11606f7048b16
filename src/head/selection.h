#pragma once

#include "core/deadline.h"
#include "head/fit.h"
#include "head/training_rows.h"
#include "solver/gated.h"
#include "solver/linear.h"

namespace coala {

/// The out-of-fold view of one penalty: what models that have not seen a row say about it.
struct HeldOut {
  Candidate candidate;
  std::vector<Matrix<float>> gates;    ///< one [P, d] per fold with rows
  std::vector<Matrix<float>> weights;  ///< the same
  std::vector<double> predictions;     ///< [rows], bias included; zero in folds that were not fitted
  std::vector<int> folds;              ///< that were fitted: what it was judged on
  double curvature = 0;                ///< that the gated program's steps have met, of the last fold
};

/// Relative gap of the fits that only choose: on the stored features 30 times tighter ones led to the same penalties of
/// the path. The chosen model is fitted to the full tolerance.
inline constexpr double kSelectionTolerance = 1e-2;

/// Work done so far by a selection.
struct SelectionCost {
  double seconds = 0;
  double flops = 0;
  double bytes_read = 0;   ///< of features, in all passes
  bool cut_short = false;  ///< by a deadline: candidates were left out

  void add(const GatedOperator<float>& f) {
    flops += f.flops();
    bytes_read += static_cast<double>(f.passes()) * static_cast<double>(f.bytes_per_pass());
  }
};

/// Whether the minimum of a path is what counts, or a point near it from which the search goes on with more rows.
enum class PathSearch { Close, Coarse };

/// Factors of the groups' penalties [groups]: the linear group, which comes first, has its own.
std::vector<double> group_weights(std::size_t groups, double linear_weight);

/// Ridge models over a geometric path of penalties, each fitted once per fold, until the held-out loss has turned; the
/// one that the rule takes. Every candidate is appended to `path`. All three selections end at the deadline with the
/// candidates that they have; the first is always judged.
/// @param search  how closely: a path that is settled on more rows ends at the first point above the minimum
HeldOut select_linear(const TrainingRows& rows, const MomentSpectrum& moments, int folds, SelectionRule rule,
                      PathSearch search, const Deadline& deadline, ThreadPool& pool, std::vector<Candidate>& path,
                      SelectionCost& cost);

/// The penalties of the gated program, a geometric path from half of beta_max downwards.
struct GatedPath {
  double beta_max;
  double end;  ///< ratio to beta_max of the last
  int length;
  int start;  ///< place of the first that is judged

  double ratio(int k) const;
};

/// The path begins where a gate could open beside the linear model: stronger penalties give it alone, and shrunk.
/// @param linear  of the same rows and folds
GatedPath gated_path(const Matrix<float>& gates, const HeldOut& linear, const TrainingRows& rows,
                     const GatedMetric& metric, const FitSettings& settings, ThreadPool& pool, SelectionCost& cost);

/// The same for the gated program, from the start of its path to weaker penalties, and to stronger ones when it has the
/// lowest loss. At the best point the linear group's penalty is halved for as long as the held-out loss falls.
/// @param linear  whose weights every fold starts from
/// @param search  how closely: a path that is settled on more rows has every second point only
HeldOut select_gated(const Matrix<float>& gates, const HeldOut& linear, const GatedPath& points,
                     const TrainingRows& rows, const GatedMetric& metric, const FitSettings& settings,
                     PathSearch search, const Deadline& deadline, ThreadPool& pool, std::vector<Candidate>& path,
                     SelectionCost& cost);

/// Goes on from `best`: refines each fold's gates by its own weights (no row's label reaches the gates it is judged
/// with) for as long as the held-out loss falls, then looks for a better penalty with these gates.
/// @param linear  what it must come before
HeldOut refine_gated(HeldOut best, const HeldOut& linear, const TrainingRows& rows, const GatedMetric& metric,
                     const FitSettings& settings, const Deadline& deadline, ThreadPool& pool,
                     std::vector<Candidate>& path, SelectionCost& cost);

/// Goes on from what a selection on fewer rows or columns has taken (fold by fold, as weights of these columns): judges
/// its penalty on these rows, then stronger and weaker ones, on the same path, until the minimum lies between two
/// others and the rule has what it needs. Replaces their entries in `path`.
HeldOut settle_linear(const HeldOut& start, const TrainingRows& rows, const MomentSpectrum& moments, int folds,
                      SelectionRule rule, const Deadline& deadline, ThreadPool& pool, std::vector<Candidate>& path,
                      SelectionCost& cost);

/// The same for the gated program, with the gates that each fold has: the penalty, then stronger ones when the held-out
/// loss is above that of the start, weaker ones when it is not, for as long as it falls.
HeldOut settle_gated(const HeldOut& start, const TrainingRows& rows, const GatedMetric& metric, int folds,
                     const Deadline& deadline, ThreadPool& pool, std::vector<Candidate>& path, SelectionCost& cost);

/// Goes on from a candidate of fewer rows: refines each fold's gates for as long as they become clearly better, then
/// looks for a better penalty. There are many rows, and the held-out ones of two folds tell what is better.
/// @param linear  the linear model of the same rows: nothing is tried when the start is not better; null: there is none
HeldOut refine_with_more_rows(const HeldOut& start, const HeldOut* linear, const TrainingRows& rows,
                              const GatedMetric& metric, int folds, const Deadline& deadline, ThreadPool& pool,
                              std::vector<Candidate>& path, SelectionCost& cost);

/// What the held-out rows of two folds say of a candidate of fewer rows.
HeldOut judge_with_more_rows(const HeldOut& start, const TrainingRows& rows, const GatedMetric& metric, int folds,
                             const Deadline& deadline, ThreadPool& pool, std::vector<Candidate>& path,
                             SelectionCost& cost);

/// Every fold's weights at a chosen candidate with the gates that all folds share, starting from `w`.
/// @param curvature  that the program on all rows has met
HeldOut fit_folds(const Matrix<float>& gates, const Matrix<float>& w, double curvature, const Candidate& candidate,
                  const TrainingRows& rows, const GatedMetric& metric, int folds, const Deadline& deadline,
                  ThreadPool& pool, SelectionCost& cost);

inline constexpr double kClearly = 2;  ///< standard errors

/// Whether `a` predicts the rows that it was judged on better than `b` by more than so many standard errors of the
/// paired difference of their losses. The best of many candidates is the luckiest as well: on few rows a richer model
/// must show more than a lower mean.
bool is_better(const HeldOut& a, const HeldOut& b, const TrainingRows& rows, double standard_errors);

}  // namespace coala
