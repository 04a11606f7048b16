#pragma once

#include <vector>

#include "core/deadline.h"
#include "head/held_out.h"
#include "head/selection_cost.h"
#include "solver/gated.h"

namespace coala {

/// Goes on from `best`: refines each fold's gates by its own weights (no row's label reaches the gates it is judged
/// with) for as long as the held-out loss falls, then looks for a better penalty with these gates.
/// @param linear  what it must come before
HeldOut refine_gated(HeldOut best, const HeldOut& linear, const TrainingRows& rows, const GatedMetric& metric,
                     const FitSettings& settings, const Deadline& deadline, ThreadPool& pool,
                     std::vector<Candidate>& path, SelectionCost& cost);

/// Goes on from what a selection on fewer columns has taken, with the gates that each fold has: its penalty on these
/// columns, then stronger ones when the held-out loss is above that of the start, weaker ones when it is not, for as
/// long as it falls.
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

}  // namespace coala
