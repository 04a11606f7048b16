#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/estimate.h"

namespace coala {

/// Judged replies to the same prompts, one by one.
struct JudgedTexts {
  std::vector<double> scores;        ///< [n], the judge's
  std::vector<std::int64_t> length;  ///< [n], code points
};

/// How often texts are better than others, with 95 % intervals over prompts.
struct WinRate {
  double rate = 0;  ///< ties count half
  Interval ci95;
  double ties = 0;  ///< their share
  /// What the rate would be if the texts were as long as the others: a logistic model of winning on
  /// tanh((length - other length) / sd), as AlpacaEval 2 has it for one model, at zero.
  double length_controlled = 0;
  Interval length_controlled_ci95;
};

/// @param prompts  [n]; replies to one prompt have the same number
WinRate win_rate(const JudgedTexts& texts, const JudgedTexts& others, std::span<const std::int64_t> prompts);

}  // namespace coala
