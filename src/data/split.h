#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "data/reader.h"
#include "data/record.h"

namespace coala {

// Splits are decided by a hash of what a record's dialogue opens with, so they do not move when lines are added,
// removed or reordered. No prompt is ever on both sides, nor one that begins or continues it, nor one that differs in
// case, white space or punctuation only, nor another pair of the same conversation.

/// What decides the split of a record: the first turn of the user, in lower case and without punctuation; of a text
/// that is continued all of it; and where there is no prompt (a review, a pair without a shared beginning) the text of
/// the response as it is, else all such records would fall on one side. A question that the user leaves aside decides
/// where there is one.
std::string split_key(const Pair& pair);
std::string split_key(const Labelled& labelled);
std::string split_key(const Record& record);

/// The prompt of a record, exactly; empty when it has none.
std::string prompt_key(const Record& record);
std::string prompt_key(const Labelled& labelled);

/// Whether a key falls into the held-out part. What is held out at one fraction is held out at every larger one.
/// @param fraction  of the prompts, in [0, 1]. @throws Error{BadUsage} when it is not
bool in_held_out(std::string_view key, double fraction, std::uint64_t seed);

/// The fold (0 .. folds - 1) of a key; independent of in_held_out() at the same seed.
/// @throws Error{BadUsage} when folds < 1
int fold_of(std::string_view key, int folds, std::uint64_t seed);

}  // namespace coala
