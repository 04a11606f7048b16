#pragma once

#include <string_view>
#include <vector>

#include "data/counts.h"
#include "data/ranking.h"
#include "data/record.h"
#include "data/row.h"
#include "data/shape.h"

namespace coala {

/// The pairs of a record of a shape whose pairs stand in one record: one, or several when it holds several responses.
/// None when it is left out, which is counted.
/// @throws Error{BadInput} naming the line when the record is not of that shape
std::vector<Pair> read_pairs(const Row& row, Shape shape, Rankings rankings, ReaderCounts& counts);

// What tells the shapes of pairs from each other.

/// Whether there are columns for a better and a worse response, under one of their names; be they null.
bool has_two_answers(const Row& row);
/// Whether the better one is a list of messages.
bool has_message_answers(const Row& row);
/// Whether the texts are dialogues with "\n\nHuman: " turns.
bool is_hh_pair(const Row& row);
/// The column with the worse answer to a conversation that ends with the better one; nullptr when there is none.
const char* rejected_beside_messages(const Row& row);

/// Where two texts that continue the same prompt part: at the last white space before which they are the same, so that
/// no word, no UTF-8 sequence and no leading-space token is cut in two. The white space goes to the responses.
std::size_t shared_prefix_length(std::string_view a, std::string_view b) noexcept;

}  // namespace coala
