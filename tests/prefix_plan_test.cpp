#include "extract/prefix_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/random.h"

namespace coala {
namespace {

EncodedResponse response_of(std::vector<Token> tokens) {
  return {std::move(tokens), 0};
}

/// Conversations: a beginning that all have, one of `prompts` prompts, an answer.
std::vector<EncodedResponse> conversations(std::size_t count, std::size_t common, std::size_t prompts,
                                           std::uint64_t seed) {
  Random random(seed);
  std::vector<EncodedResponse> all;
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<Token> tokens(common, 7);
    Random prompt(random.below(prompts) + 1000);
    for (std::size_t k = 0; k < 30; ++k) tokens.push_back(static_cast<Token>(prompt.below(50)));
    for (std::size_t k = random.below(60) + 1; k-- > 0;) tokens.push_back(static_cast<Token>(random.below(50)));
    all.push_back(response_of(std::move(tokens)));
  }
  return all;
}

std::size_t nodes_of(const std::vector<EncodedResponse>& responses) {
  std::set<std::vector<Token>> nodes;
  for (const EncodedResponse& response : responses) {
    for (auto end = response.tokens.begin(); end != response.tokens.end();)
      nodes.emplace(response.tokens.begin(), ++end);
  }
  return nodes.size();
}

TEST(PrefixPlan, EvaluatesHardlyMoreThanTheTree) {
  for (const std::size_t common : {0u, 10u, 200u}) {
    for (const std::size_t prompts : {1u, 40u, 1000u}) {
      const auto responses = conversations(400, common, prompts, common + prompts);
      const PrefixPlan plan = plan_prefixes(responses, /*share=*/true, /*causal=*/true);
      EXPECT_EQ(plan.unique_tokens, nodes_of(responses));
      EXPECT_GE(plan.evaluated_tokens, plan.unique_tokens);
      EXPECT_LE(static_cast<double>(plan.evaluated_tokens), 1.02 * static_cast<double>(plan.unique_tokens));
    }
  }
}

TEST(PrefixPlan, HasEveryResponseOnceAndCountsWhatBlocksCost) {
  auto responses = conversations(300, 20, 30, 5);
  responses.push_back(responses[7]);
  for (const bool share : {true, false}) {
    const PrefixPlan plan = plan_prefixes(responses, share, /*causal=*/true);
    EXPECT_GT(plan.blocks.size(), 2u);
    std::vector<int> seen(responses.size());
    std::uint64_t evaluated = 0;
    std::uint64_t pairs = 0;
    for (const PlannedBlock& block : plan.blocks) {
      std::vector<EncodedResponse> own;
      for (const std::uint32_t r : block.responses) {
        ++seen[r];
        own.push_back(responses[r]);
        if (!share) pairs += own.back().tokens.size() * (own.back().tokens.size() + 1) / 2;
      }
      std::uint64_t expected = 0;
      for (const EncodedResponse& response : own) expected += response.tokens.size();
      if (share) expected = nodes_of(own);
      EXPECT_EQ(block.evaluated_tokens, expected);
      evaluated += expected;
    }
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), static_cast<std::ptrdiff_t>(responses.size()));
    EXPECT_EQ(plan.evaluated_tokens, evaluated);
    if (!share) {
      EXPECT_EQ(plan.attention_pairs, pairs);
    }
  }
}

TEST(PrefixPlan, OfNothingIsEmpty) {
  EXPECT_TRUE(plan_prefixes({}, true, /*causal=*/true).blocks.empty());
}

}  // namespace
}  // namespace coala
