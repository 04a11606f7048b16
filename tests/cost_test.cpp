// What methods compute, against counts by hand and the models' published sizes.
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "report/method_cost.h"

namespace coala {
namespace {

TEST(MethodCost, IsCountedByHand) {
  const ModelShape shape{"tiny", 10, 5, 2};
  // Prompt 2, answers 3 and 1. With the output matrix a token costs 2 * 15; token t attends to t others at 4 * 2 each:
  // 5 tokens 150 + 8 * 15 = 270; 3 tokens 90 + 8 * 6 = 138.
  const MethodCost lora = method_cost(shape, {2, 3, 1}, Tuning::Lora);
  EXPECT_DOUBLE_EQ(lora.sft, 2 * 270);
  EXPECT_DOUBLE_EQ(lora.orpo, 2 * (270 + 138));
  EXPECT_DOUBLE_EQ(lora.dpo, 3 * (270 + 138));
  // Each token once and 2 * 10 for it: 6 tokens; the prompt's attend to 1 + 2, the answers' to 3 + 4 + 5 and to 3.
  EXPECT_DOUBLE_EQ(lora.coala, 6 * 20 + 8 * (3 + 12 + 3));
  const MethodCost full = method_cost(shape, {2, 3, 1}, Tuning::Full);
  EXPECT_DOUBLE_EQ(full.sft, 3 * 270);
  EXPECT_DOUBLE_EQ(full.coala, lora.coala);
}

TEST(MethodCost, BackbonesHaveTheirPublishedSizes) {
  // Parameters in all, less embeddings (and the output matrix where it is another one): model cards.
  const std::map<std::string, double> blocks{
      {"DistilGPT-2", 81.9e6 - 38.6e6 - 0.79e6}, {"GPT-2", 124.4e6 - 38.6e6 - 0.79e6},
      {"Mistral-7B", 7.242e9 - 2 * 0.131e9},     {"Dolphin-7B", 7.242e9 - 2 * 0.131e9},
      {"Llama-3B", 3.213e9 - 0.394e9},           {"Llama-8B", 8.030e9 - 2 * 0.525e9}};
  EXPECT_EQ(paper_backbones().size(), blocks.size());
  for (const ModelShape& shape : paper_backbones()) {
    EXPECT_NEAR(shape.block_weights / blocks.at(shape.name), 1, 0.003) << shape.name;
  }
}

}  // namespace
}  // namespace coala
