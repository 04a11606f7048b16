#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "head/token_head.h"
#include "lm/backbone.h"
#include "lm/output_matrix.h"

namespace coala {

/// Words that a head raises and lowers, the most first; as many of either.
struct NamedWords {
  std::vector<std::string> raised;
  std::vector<std::string> lowered;
};

/// Names the words that the head raises and lowers the most after a typical state.
/// @param mean_state   U'h of typical tokens, mean, [r]
/// @param occurrences  of the tokens that may be named; rare ones are not
NamedWords name_words(const Backbone& backbone, const TokenHead& head, const OutputMatrix& output,
                      std::span<const double> mean_state, const std::map<Token, std::size_t>& occurrences);

}  // namespace coala
