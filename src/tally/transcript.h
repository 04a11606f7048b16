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
  std::string set;  ///< hash of all pairs that the run compares: files of the same names may hold others
  std::vector<JudgedPair> pairs;
  std::vector<PairName> names;  ///< of the pairs, each once
  std::size_t replaced = 0;  ///< answers to a question that was asked again, with other settings: the last one counts
};

/// The lines of a transcript of `coala judge` (docs/judging.md), put together by the pairs that a run compares. A
/// judge that was asked for verdicts and for marks is two judges.
/// @throws Error{BadInput} naming the line
std::vector<Comparison> read_comparisons(std::span<const Annotation> lines);

}  // namespace coala
