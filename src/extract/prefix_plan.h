#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "extract/feature_extractor.h"

namespace coala {

/// Responses that are evaluated one after the other by one worker, starting with an empty cache: so their features do
/// not depend on who evaluates what else, and when.
struct PlannedBlock {
  std::vector<std::uint32_t> responses;  ///< indices, in lexicographic order of their tokens
  std::uint64_t evaluated_tokens = 0;
};

/// The order in which responses cost least.
struct PrefixPlan {
  std::vector<PlannedBlock> blocks;
  std::uint64_t unique_tokens = 0;     ///< nodes of the prefix tree of all responses: no plan evaluates fewer
  std::uint64_t evaluated_tokens = 0;  ///< by this plan
  std::uint64_t attention_pairs = 0;   ///< (token, token it attends to) evaluated
};

/// Sorts the responses, so that each shares what it can with the one before it, and cuts them into blocks where that
/// costs at most a hundredth of the block before the cut: what the first response of a block shares with the last of
/// the block before is evaluated again. (Blocks in which everything shares a long beginning become long.)
/// @param share   false when the model cannot share prefixes: then everything is evaluated in full
/// @param causal  false when a token attends to those after it too
PrefixPlan plan_prefixes(std::span<const EncodedResponse> responses, bool share, bool causal);

}  // namespace coala
