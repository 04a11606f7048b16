#pragma once

#include <optional>
#include <vector>

#include "core/deadline.h"
#include "head/first_look.h"
#include "head/held_out.h"
#include "head/selection_cost.h"
#include "solver/moment_spectrum.h"

namespace coala {

/// The linear model on all rows with its penalty selected on the folds.
struct LinearFit {
  HeldOut selected;
  std::vector<Candidate> path;
  GatedWeights weights;
  SolveInfo info;
  MomentSpectrum moments;                ///< of the rows that the selection began with
  std::optional<HeldOut> at_first_look;  ///< what was selected there, where there was one
};

/// Selects at the first look and settles on all rows and columns from there, or on all at once when there is none; then
/// fits all rows.
LinearFit fit_linear(const TrainingRows& rows, const Look* look, int folds, SelectionRule rule,
                     const Deadline& deadline, ThreadPool& pool, SelectionCost& cost);

}  // namespace coala
