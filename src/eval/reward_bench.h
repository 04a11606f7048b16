#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/estimate.h"

namespace coala {

/// A section of RewardBench, or all of it.
struct RewardBenchScore {
  std::string name;
  std::size_t rows = 0;
  std::size_t parts = 0, of = 0;  ///< subsets, or sections, that the rows have, and that the benchmark has
  double accuracy = 0;
  Interval ci95;  ///< Wilson's, of the variance between prompts within subsets
};

/// The published aggregation of RewardBench (Lambert et al. 2024, arXiv 2403.13787; weights of allenai/reward-bench,
/// rewardbench/constants.py): a section is the mean of its subsets' accuracies by the benchmark's own number of rows
/// (984 for math-prm, so that mathematics weighs as code does), subsets without rows left out; the overall score, last,
/// is the plain mean of the four sections.
/// @param subset  [n], names; rows of others do not count
/// @param right   [n], 1 for a row that is right, 0 for one that is not
/// @returns  nothing for rows of other data; no overall score unless every section has rows
std::vector<RewardBenchScore> reward_bench_scores(std::span<const std::string> subset, std::span<const double> right,
                                                  std::span<const std::int64_t> prompts);

}  // namespace coala
