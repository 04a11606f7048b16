#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "data/reader.h"
#include "data/record.h"

namespace coala {

// Splits are decided by a hash of the prompt alone, so they do not move when lines are added, removed or reordered, and
// no prompt is ever on both sides.

/// What decides the split of a record: the key of its prompt or, where there is no prompt (a review, a pair without a
/// shared beginning), its text; else all such records would fall on one side.
std::string split_key(const Pair& pair);
std::string split_key(const Labelled& labelled);
std::string split_key(const Record& record);

/// Whether a key falls into the held-out part. What is held out at one fraction is held out at every larger one.
/// @param fraction  of the prompts, in [0, 1]. @throws Error{BadUsage} when it is not
bool in_held_out(std::string_view key, double fraction, std::uint64_t seed);
bool in_held_out(const Prompt& prompt, double fraction, std::uint64_t seed);

/// The fold (0 .. folds - 1) of a key; independent of in_held_out() at the same seed.
/// @throws Error{BadUsage} when folds < 1
int fold_of(std::string_view key, int folds, std::uint64_t seed);

}  // namespace coala
