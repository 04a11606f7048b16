#pragma once

#include <span>
#include <string>
#include <vector>

#include "data/record_store.h"

namespace coala {

/// Answers by the prompt that they answer, prompts and answers in the order of the data, each answer once.
/// @param store  of labelled responses
std::vector<std::vector<Labelled>> answers_by_prompt(const RecordStore& store);

/// Names the decision which of some answers to a prompt is better. It is another one when there is another answer.
/// @param answers  one or more
std::string decision_id(std::span<const Labelled> answers);

}  // namespace coala
