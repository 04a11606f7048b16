#pragma once

#include <span>
#include <vector>

#include "lm/tokenizer.h"

namespace coala {

/// How varied texts are, by their tokens.
struct Diversity {
  double distinct_1 = 0;  ///< different tokens over all tokens
  double distinct_2 = 0;  ///< the same of pairs of neighbours
  double repetition = 0;  ///< share of runs of four tokens that stood in the same text before
};
Diversity diversity(std::span<const std::vector<Token>> texts);

}  // namespace coala
