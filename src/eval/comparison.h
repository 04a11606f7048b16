#pragma once

#include <cstdint>
#include <span>

#include "core/estimate.h"

namespace coala {

/// Two scorers on the same rows.
struct PairedComparison {
  std::uint64_t first_only = 0;   ///< rows that only the first gets right
  std::uint64_t second_only = 0;  ///< rows that only the second gets right
  double difference = 0;          ///< of the accuracies, first minus second
  Interval difference_ci95;       ///< bootstrap by prompt
  double p_value = 1;             ///< exact, two-sided
};

/// The exact sign test over prompts: a prompt counts for the scorer that gets more of its rows right. With one row a
/// prompt this is McNemar's exact test; with more, rows of one prompt are not taken for independent evidence.
/// @param first, second  [n], 1 for a row that is right, 0 for one that is not
/// @param prompts        [n], rows of one prompt have the same number
PairedComparison compare_paired(std::span<const double> first, std::span<const double> second,
                                std::span<const std::int64_t> prompts, std::uint64_t seed);

}  // namespace coala
