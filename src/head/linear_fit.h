#pragma once

#include <optional>
#include <vector>

#include "head/leading_rows.h"
#include "head/selection.h"

namespace coala {

/// The linear model on all rows with its penalty selected on the folds.
struct LinearFit {
  HeldOut selected;
  std::vector<Candidate> path;
  GatedWeights weights;
  SolveInfo info;
  MomentSpectrum moments;                ///< of the rows that the selection began with
  std::optional<HeldOut> among_leading;  ///< with leading rows: what was selected on these
};

/// Selects on the leading rows when there are any and settles on all columns from there, else on all columns at once;
/// then fits all rows.
LinearFit fit_linear(const TrainingRows& rows, const LeadingRows* leading, int folds, SelectionRule rule,
                     const Deadline& deadline, ThreadPool& pool, SelectionCost& cost);

/// The mean of the folds' weights: a start a few iterations away from the solution on all rows.
Matrix<float> mean_of_folds(const std::vector<Matrix<float>>& weights);

}  // namespace coala
