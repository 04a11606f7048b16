#pragma once

#include <cstdint>
#include <span>

#include "core/estimate.h"

namespace coala {

/// How often one side is preferred, as published benchmarks count it, and with intervals over prompts.
struct WinRates {
  double rate = 0;            ///< mean preference: a tie counts half
  double standard_error = 0;  ///< of the mean of independent rows (n - 1), as AlpacaEval publishes it
  Interval clustered95;       ///< of `rate`: rows of a prompt belong together
  double discrete = 0;        ///< preferences rounded to win, tie, loss first
  std::uint64_t wins = 0, losses = 0, ties = 0;
  /// Wins of wins and losses, with Wilson's interval, clustered where prompts repeat; NaN when all are ties.
  Estimate without_ties;
  Interval wald95;  ///< of `without_ties`, as papers publish it
};

/// @param preference  [n], 0 to 1, 1/2 for a tie; not empty
/// @param prompts     [n], the same number for the same prompt
WinRates win_rates(std::span<const double> preference, std::span<const std::int64_t> prompts);

}  // namespace coala
