#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "core/deadline.h"
#include "core/progress.h"
#include "head/held_out.h"
#include "head/selection_cost.h"
#include "solver/gated.h"

namespace coala {

/// Relative gap of the fits that only choose: on the stored features 30 times tighter ones led to the same penalties of
/// the path. The chosen model is fitted to the full tolerance.
inline constexpr double kSelectionTolerance = 1e-2;

/// The gated program on the rows of all folds but one.
class GatedFold {
 public:
  GatedFold(const TrainingRows& rows, int fold);

  /// Starts from `w` [P, d].
  void start(const Matrix<float>& gates, const Matrix<float>& w, const GatedMetric& metric,
             const GatedSettings& settings, ThreadPool& pool, SelectionCost& cost);

  /// The loss is a sum: a fold's penalty shrinks with its weight so that the trade-off stays the same.
  /// @param curvature  to begin with, when none is known
  /// @returns  the curvature that was met
  double fit(double penalty, double tolerance, double curvature, const Deadline& deadline, HeldOut& held_out);

  /// Adds the work of the operators so far; once, before they go.
  void count(SelectionCost& cost) const;

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
std::deque<GatedFold> gated_folds(const TrainingRows& rows, int folds, std::size_t most = SIZE_MAX);

/// Factors of the groups' penalties [groups]: the linear group, which comes first, has its own.
std::vector<double> group_weights(std::size_t groups, double linear_weight);
/// Where the rows are computed with, and with a bias where they have one.
GatedSettings gated_settings(const TrainingRows& rows, std::size_t groups, double linear_weight);

/// Fits every fold at the candidate's penalty and judges the models on the rows that they have not seen; appended to
/// `path`.
/// @param curvature  of a similar program, 0 for none; a fold that knows none takes that of the one before it
/// @param rival      a candidate that is behind it after the first folds is given up; none: all folds are fitted
HeldOut evaluate_folds(std::deque<GatedFold>& folds, const Candidate& candidate, const TrainingRows& rows,
                       const Deadline& deadline, std::vector<Candidate>& path, Progress& progress, double curvature = 0,
                       const HeldOut* rival = nullptr);

/// Every fold's weights at a chosen candidate with the gates that all folds share, starting from `w`.
/// @param curvature  that the program on all rows has met
HeldOut fit_folds(const Matrix<float>& gates, const Matrix<float>& w, double curvature, const Candidate& candidate,
                  const TrainingRows& rows, const GatedMetric& metric, int folds, const Deadline& deadline,
                  ThreadPool& pool, SelectionCost& cost);

}  // namespace coala
