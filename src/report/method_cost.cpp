#include "report/method_cost.h"

#include <vector>

namespace coala {
namespace {

/// Of a published configuration (config.json of each model).
struct Configuration {
  const char* name;
  double layers, dimension, heads, key_heads, head_dimension, inner;
  bool gated;  ///< a third matrix in the feed-forward part
  double vocabulary;
};

constexpr std::array<Configuration, 6> kBackbones{{{"DistilGPT-2", 6, 768, 12, 12, 64, 3072, false, 50'257},
                                                   {"GPT-2", 12, 768, 12, 12, 64, 3072, false, 50'257},
                                                   {"Mistral-7B", 32, 4096, 32, 8, 128, 14'336, true, 32'000},
                                                   {"Dolphin-7B", 32, 4096, 32, 8, 128, 14'336, true, 32'001},
                                                   {"Llama-3B", 28, 3072, 24, 8, 128, 8192, true, 128'256},
                                                   {"Llama-8B", 32, 4096, 32, 8, 128, 14'336, true, 128'256}}};

ModelShape shape_of(const Configuration& c) {
  const double attention = c.dimension * c.head_dimension * (2 * c.heads + 2 * c.key_heads);
  const double feed_forward = (c.gated ? 3 : 2) * c.dimension * c.inner;
  return {c.name, c.layers * (attention + feed_forward), c.dimension * c.vocabulary,
          c.layers * c.heads * c.head_dimension};
}

/// Of `tokens` in a row after `before` others: products with the weights, and the two products of attention, in which a
/// token meets those before it and itself.
double forward(const ModelShape& shape, double before, double tokens, bool output) {
  const double met = tokens * before + tokens * (tokens + 1) / 2;
  return 2 * tokens * (shape.block_weights + (output ? shape.output_weights : 0)) + 4 * shape.attention_width * met;
}

}  // namespace

std::span<const ModelShape> paper_backbones() {
  static const std::vector<ModelShape> shapes = [] {
    std::vector<ModelShape> result;
    for (const Configuration& configuration : kBackbones) result.push_back(shape_of(configuration));
    return result;
  }();
  return shapes;
}

MethodCost method_cost(const ModelShape& shape, const PairTokens& tokens, Tuning tuning) {
  const double chosen = forward(shape, 0, tokens.prompt + tokens.chosen, /*output=*/true);
  const double both = chosen + forward(shape, 0, tokens.prompt + tokens.rejected, /*output=*/true);
  const double forward_and_backward = tuning == Tuning::Full ? 3 : 2;
  MethodCost cost;
  cost.coala = forward(shape, 0, tokens.prompt, /*output=*/false) +
               forward(shape, tokens.prompt, tokens.chosen, /*output=*/false) +
               forward(shape, tokens.prompt, tokens.rejected, /*output=*/false);
  cost.sft = forward_and_backward * chosen;
  cost.orpo = forward_and_backward * both;
  cost.dpo = cost.orpo + both;
  return cost;
}

}  // namespace coala
