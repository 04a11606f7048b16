#pragma once

#include <optional>

#include "data/counts.h"
#include "data/record.h"
#include "data/row.h"
#include "data/shape.h"

namespace coala {

/// The column that says whether a response is good: label, kto_tag, is_safe; be it null. nullptr when
/// there is none.
const char* label_column(const Row& row);
/// Whether there is one response, or a conversation that ends with one.
bool holds_labelled_response(const Row& row);

/// The answer that a conversation ends with, and what it answers. @throws Error{BadInput} when it ends otherwise
Labelled read_last_answer(const Row& row, const char* list);

/// The labelled response of a record: Shape::Imdb, Shape::TrlUnpaired or a labelled record of Shape::Coala.
/// Nothing when the response is null, which is counted.
/// @throws Error{BadInput} naming the line when the record is not of that shape
std::optional<Labelled> read_labelled(const Row& row, Shape shape, ReaderCounts& counts);

}  // namespace coala
