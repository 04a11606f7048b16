#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "eval/intervals.h"
#include "lm/tokenizer.h"

namespace coala {

/// Judged replies to the same prompts, one by one.
struct JudgedTexts {
  std::vector<double> scores;        ///< [n], the judge's
  std::vector<std::int64_t> length;  ///< [n], code points
};

/// Figures about guided texts beside unguided ones, with 95 % intervals that resample prompts.
struct Comparison {
  double win_rate = 0;  ///< ties count half
  Interval win_rate_ci95;
  double ties = 0;  ///< their share
  /// The win rate that would be if replies were as long as those they are compared with: sigmoid(a) of the fit
  /// P(win) = sigmoid(a + b tanh((length - other length) / sd)), as in AlpacaEval 2 for one model.
  double length_controlled_win_rate = 0;
  Interval length_controlled_win_rate_ci95;
};

/// @param prompts  [n]; replies to one prompt have the same number
Comparison compare(const JudgedTexts& texts, const JudgedTexts& others, std::span<const std::int64_t> prompts,
                   std::uint64_t seed);

/// How varied texts are, by their tokens.
struct Diversity {
  double distinct_1 = 0;  ///< different tokens over all tokens
  double distinct_2 = 0;  ///< the same of pairs of neighbours
  double repetition = 0;  ///< share of runs of four tokens that stood in the same text before
};
Diversity diversity(std::span<const std::vector<Token>> texts);

}  // namespace coala
