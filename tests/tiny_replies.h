#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "core/random.h"
#include "decode/generator.h"
#include "extract/feature_extractor.h"
#include "lm/hidden_states.h"
#include "support.h"

/// A head, prompts and settings for generation with the tiny model.
namespace coala::test {

inline constexpr std::size_t kContext = 256;

inline const Backbone& tiny() {
  static const Backbone backbone(test_file("tiny-llama.gguf"));
  return backbone;
}

inline EncodedPrompt chat(const std::string& text) {
  return tiny().encode_prompt({{{"user", text}}, ""});
}

/// A prompt of this many tokens.
inline EncodedPrompt long_prompt(std::size_t tokens) {
  EncodedPrompt prompt = tiny().encode_prompt({{}, std::string(tokens, 'q')});
  prompt.tokens.resize(tokens);
  return prompt;
}

/// A linear head with random weights: one neuron whose gate is always open.
inline Head random_head(std::size_t dimension, std::uint64_t seed) {
  Random random(seed);
  Head head;
  head.transform = FeatureTransform::identity(dimension);
  head.network.theta1 = Matrix<float>(1, dimension);
  head.network.gates = Matrix<float>(1, dimension);
  for (float& weight : head.network.theta1.values()) weight = static_cast<float>(random.normal());
  head.network.theta2 = {1.0f};
  return head;
}

inline const Head& the_head() {
  static const Head head = random_head(32, 5);
  return head;
}

inline RewardHead reward(Pooling pooling = Pooling::Mean, PoolOver over = PoolOver::Response) {
  return {&the_head(), {.pooling = pooling, .over = over}};
}

/// Draws from the whole distribution, so that replies end and are of all kinds.
inline GenerationSettings wild(int candidates, std::size_t max_tokens) {
  GenerationSettings settings{.max_tokens = max_tokens, .replies = candidates};
  settings.sampling = {.temperature = 1, .top_p = 1, .top_k = 0};
  settings.seed = 3;
  return settings;
}

inline std::vector<Reply> replies_to(const EncodedPrompt& prompt, const GenerationSettings& settings) {
  return Generator(tiny(), settings, prompt.tokens.size(), 1, 1).generate(prompt);
}

inline std::vector<Token> followed_by(const EncodedPrompt& prompt, std::span<const Token> tokens) {
  std::vector<Token> all = prompt.tokens;
  all.insert(all.end(), tokens.begin(), tokens.end());
  return all;
}

/// The head's score by extraction's own code, from the tokens, without a session.
inline double extracted_score(const Backbone& backbone, const Head& head, const EncodedPrompt& prompt,
                              std::span<const Token> tokens, const FeatureSettings& how) {
  FeatureExtractor extractor(backbone, how, 1);
  const EncodedResponse response{followed_by(prompt, tokens), prompt.tokens.size(), 0};
  const EncodedResponse* const one = &response;
  return head.score(extractor.pool({&one, 1}).row(0));
}

/// What the head says of the tokens by way of extraction's own evaluator, and by how much rounding may change it:
/// |theta' (f - f')| <= ||theta|| ||f - f'||, with a state's relative rounding of lm_test.cpp (2e-5 per layer, layers
/// adding in squares); the mean of states has at most the mean of their norms.
struct Expected {
  double score = 0;
  double tolerance = 0;
};

inline Expected expected_score(const EncodedPrompt& prompt, const std::vector<Token>& tokens,
                               const FeatureSettings& how) {
  const std::vector<Token> all = followed_by(prompt, tokens);
  std::vector<double> sum(32);
  double norms = 0;
  double count = 0;
  StateEvaluator evaluator(tiny(), {.longest_tokens = kContext, .threads = 1});
  const TokenSequence sequence = all;
  evaluator.evaluate({&sequence, 1}, [&](std::size_t, std::size_t position, std::span<const float> state) {
    const bool last = position + 1 == all.size();
    const bool response = position >= prompt.tokens.size();
    if (how.pooling == Pooling::Last ? !last : !(response || how.over == PoolOver::All)) return;
    double square = 0;
    for (std::size_t j = 0; j < 32; ++j) {
      sum[j] += static_cast<double>(state[j]);
      square += static_cast<double>(state[j]) * state[j];
    }
    norms += std::sqrt(square);
    ++count;
  });
  std::vector<float> feature(32);
  for (std::size_t j = 0; j < 32; ++j) feature[j] = static_cast<float>(sum[j] / count);
  double weights = 0;
  for (const float weight : the_head().network.theta1.values()) weights += static_cast<double>(weight) * weight;
  return {the_head().score(feature), 2e-5 * std::sqrt(2.0) * std::sqrt(weights) * norms / count};
}

}  // namespace coala::test
