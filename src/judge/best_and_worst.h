#pragma once

#include <span>
#include <vector>

#include "data/decision_file.h"
#include "judge/judge.h"

namespace coala {

/// Pairs the best and the worst answer to each prompt that is not decided, by a judge's scores; a tie when all are
/// equal. A prompt is decided when its last answer has a score.
/// @param groups  answers to a prompt each, two or more
/// @throws what Judge::score_each() throws; after OutOfStep none of this run's decisions is left
void decide_by_judge(std::span<const std::vector<Labelled>> groups, Judge& judge, DecisionFile& decisions);

}  // namespace coala
