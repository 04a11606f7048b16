#pragma once

#include <vector>

#include "core/deadline.h"
#include "head/held_out.h"
#include "head/penalty_path.h"
#include "head/selection_cost.h"
#include "solver/gated.h"

namespace coala {

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

/// Gated models fitted once per fold, from the start of the path to weaker penalties until the held-out loss has
/// turned, and to stronger ones when it has the lowest loss; the one that the rule takes, each appended to `path`. At
/// the best point the linear group's penalty is halved for as long as the held-out loss falls.
/// @param linear  whose weights every fold starts from
/// @param search  how closely: a path that is settled on more rows has every second point only
HeldOut select_gated(const Matrix<float>& gates, const HeldOut& linear, const GatedPath& points,
                     const TrainingRows& rows, const GatedMetric& metric, const FitSettings& settings,
                     PathSearch search, const Deadline& deadline, ThreadPool& pool, std::vector<Candidate>& path,
                     SelectionCost& cost);

}  // namespace coala
