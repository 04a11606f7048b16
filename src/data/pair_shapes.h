#pragma once

#include <optional>
#include <string_view>

#include "data/counts.h"
#include "data/record.h"
#include "data/row.h"
#include "data/shape.h"

namespace coala {

/// The pair of a record of a shape that holds one pair per record; nothing when it is left out, which is counted.
/// @throws Error{BadInput} naming the line when the record is not of that shape
std::optional<Pair> read_pair(const Row& row, Shape shape, ReaderCounts& counts);

/// Where two texts that continue the same prompt part: at the last white space before which they are the same, so that
/// no word, no UTF-8 sequence and no leading-space token is cut in two. The white space goes to the responses.
std::size_t shared_prefix_length(std::string_view a, std::string_view b) noexcept;

}  // namespace coala
