#pragma once

#include "core/deadline.h"
#include "head/fit.h"
#include "head/training_rows.h"

namespace coala {

/// Phase I of the `cronos` class: the published program on all rows, and once per fold for Phase II's rows. Fills the
/// network and Phase I's info of `result` and the networks of the folds; those stay empty when there is no time for all
/// of them.
/// @throws Late
void fit_cronos(const TrainingRows& rows, const FitSettings& settings, const Deadline& deadline, ThreadPool& pool,
                FitResult& result, std::vector<Network>& fold_networks);

}  // namespace coala
