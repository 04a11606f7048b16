#pragma once

#include "core/deadline.h"
#include "head/fit.h"
#include "head/training_rows.h"

namespace coala {

/// Phase I of the `relu` class: the paper's program solved and certified on all rows, and once per fold, to a looser
/// gap, for Phase II's rows. Fills the network, Phase I's info and certificate of `result` and the networks of the
/// folds; those stay empty when there is no time for all of them.
/// @throws Late
void fit_relu(const TrainingRows& rows, const FitSettings& settings, const Deadline& deadline, ThreadPool& pool,
              FitResult& result, std::vector<Network>& fold_networks);

}  // namespace coala
