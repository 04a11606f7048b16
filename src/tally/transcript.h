#pragma once

#include <span>
#include <string>
#include <vector>

#include "tally/annotations.h"
#include "tally/pair_judgments.h"

namespace coala {

/// Two sources and what judges said of them.
struct Comparison {
  std::array<std::string, 2> sources;
  std::vector<JudgedPair> pairs;
};

/// The lines of a transcript of `coala judge` (docs/judging.md), put together by the sources that they compare.
/// @throws Error{BadInput} naming the line
std::vector<Comparison> read_comparisons(std::span<const Annotation> lines);

}  // namespace coala
