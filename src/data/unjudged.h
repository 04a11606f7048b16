#pragma once

#include <vector>

#include "data/counts.h"
#include "data/record.h"
#include "data/row.h"

namespace coala {

/// Whether a record is an answer, or several, that nobody has judged: a prompt with `response`, `responses` or the
/// like, a conversation that ends with the assistant's answer, or a line as `coala generate`, `coala sample` and `coala
/// score` write it.
bool holds_unjudged(const Row& row);

/// Refuses such a record, where a judgement is needed, and says what makes one. A record with a column that may be a
/// judgement is not refused.
/// @throws Error{BadInput}
void refuse_unjudged(const Row& row);

/// Whether `coala generate`, `coala sample` or `coala score` wrote the record: a head's score has its probability
/// beside it, and is nobody's judgement.
bool is_reply(const Row& row);

/// Whether there is such an answer in a column of its own, and not null.
bool has_answer_column(const Row& row);

/// The answers, without a label; with several ".1", ".2", ... behind their id. None when the column is null.
/// @throws Error{BadInput} naming the column
std::vector<Labelled> read_unjudged(const Row& row, LeftOutCounts& counts);

}  // namespace coala
