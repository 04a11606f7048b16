#include "extract/prefix_plan.h"

#include <algorithm>
#include <compare>
#include <numeric>

namespace coala {
namespace {

/// Blocks long enough that their number does not matter, and enough of them that no worker waits long for the last one.
constexpr std::uint64_t kShortestBlock_tokens = 256;
constexpr std::uint64_t kLongBlock_tokens = 2048;
constexpr std::uint64_t kEnoughBlocks = 32;
constexpr std::uint64_t kCutCost = 100;  ///< a cut may cost this part of its block

}  // namespace

PrefixPlan plan_prefixes(std::span<const EncodedResponse> responses, bool share, bool causal) {
  std::vector<std::uint32_t> order(responses.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    const auto difference = responses[a].tokens <=> responses[b].tokens;
    return difference != 0 ? difference < 0 : a < b;
  });
  std::uint64_t tokens_in_all = 0;
  for (const EncodedResponse& response : responses) tokens_in_all += response.tokens.size();
  const std::uint64_t block_tokens =
      std::clamp(tokens_in_all / kEnoughBlocks, kShortestBlock_tokens, kLongBlock_tokens);
  PrefixPlan plan;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::vector<Token>& tokens = responses[order[i]].tokens;
    const std::size_t common = i > 0 ? shared_prefix(responses[order[i - 1]].tokens, tokens) : 0;
    plan.unique_tokens += tokens.size() - common;
    const bool cut = plan.blocks.empty() || (plan.blocks.back().evaluated_tokens >= block_tokens &&
                                             common * kCutCost <= plan.blocks.back().evaluated_tokens);
    if (cut) plan.blocks.emplace_back();
    const std::size_t known = cut || !share ? 0 : common;
    plan.blocks.back().responses.push_back(order[i]);
    plan.blocks.back().evaluated_tokens += tokens.size() - known;
    plan.evaluated_tokens += tokens.size() - known;
    plan.attention_pairs +=
        causal ? tokens.size() * (tokens.size() + 1) / 2 - known * (known + 1) / 2 : tokens.size() * tokens.size();
  }
  return plan;
}

}  // namespace coala
