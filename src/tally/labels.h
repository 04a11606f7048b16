#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "tally/pair_judgments.h"

namespace coala {

/// What people said of pairs, as a judge of the name "people": lines {"id", "better"}, better being "replies",
/// "against" or "tie", and "index" (from 0) where several replies are of one id.
/// @throws Error{BadInput} naming the line: for an id that no pair has, one that several have, a pair with two labels
std::vector<JudgedPair> read_labels(const std::filesystem::path& file, std::span<const PairName> names);

}  // namespace coala
