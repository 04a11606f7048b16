#pragma once

#include <optional>

#include "data/counts.h"
#include "data/record.h"
#include "data/row.h"

namespace coala {

/// Whether a record holds two responses and a verdict.
bool is_comparison(const Row& row);
/// The pair of Shape::TwoAnswers; nothing for a tie, which is counted. The columns are response_0 and response_1,
/// output_1 and output_2, answer_a and answer_b, human_ref_A and human_ref_B, conversation_a and conversation_b, and so
/// on; the verdict is a name ("model_a", "tie"), a number that the columns are counted by, or two scores.
/// @throws Error{BadInput} when the verdict is none of these
std::optional<Pair> read_comparison(const Row& row, ReaderCounts& counts);

}  // namespace coala
