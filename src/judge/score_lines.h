#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "data/record_store.h"
#include "judge/scorer.h"

namespace coala {

/// Every response of the records with its prompt, score and probability, in their order; the two of a pair carry its
/// margin, and answers to one prompt their place among them. Lines of an answer by itself are answers wherever those of
/// reply_line() are.
/// @param skip_bad  records that the model cannot take are left out, and named
/// @throws Error{BadInput} naming the record, also where a score is not finite; when nothing is left
std::vector<nlohmann::ordered_json> score_lines(const Head& head, Scorer& scorer, const RecordStore& store,
                                                bool skip_bad);

}  // namespace coala
