#pragma once

#include <vector>

#include "core/deadline.h"
#include "head/held_out.h"
#include "head/penalty_path.h"
#include "head/selection_cost.h"
#include "solver/linear.h"

namespace coala {

/// Ridge models over a geometric path of penalties, each fitted once per fold, until the held-out loss has turned; the
/// one that the rule takes. Every candidate is appended to `path`. Selections end at the deadline with the candidates
/// that they have; the first is always judged.
/// @param search  how closely: a path that is settled on more rows ends at the first point above the minimum
HeldOut select_linear(const TrainingRows& rows, const MomentSpectrum& moments, int folds, SelectionRule rule,
                      PathSearch search, const Deadline& deadline, ThreadPool& pool, std::vector<Candidate>& path,
                      SelectionCost& cost);

/// Goes on from what a selection on fewer rows or columns has taken (fold by fold, as weights of these columns): judges
/// its penalty on these rows, then stronger and weaker ones, on the same path, until the minimum lies between two
/// others and the rule has what it needs. Replaces their entries in `path`.
HeldOut settle_linear(const HeldOut& start, const TrainingRows& rows, const MomentSpectrum& moments, int folds,
                      SelectionRule rule, const Deadline& deadline, ThreadPool& pool, std::vector<Candidate>& path,
                      SelectionCost& cost);

}  // namespace coala
