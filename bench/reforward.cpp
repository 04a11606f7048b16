#include "reforward.h"

#include <algorithm>

#include "decode/pooled_state.h"

namespace coala {

ReforwardSampler::ReforwardSampler(const Backbone& backbone, const GenerationSettings& settings,
                                   std::size_t longest_tokens)
    : settings_(settings),
      session_(backbone, {.sequences = 1, .cells = longest_tokens, .threads = 1}),
      evaluator_(backbone, {.longest_tokens = longest_tokens, .threads = 1, .share_prefixes = false}),
      dimension_(backbone.identity().dimension) {}

double ReforwardSampler::score(std::span<const Token> prompt, const std::vector<Token>& text) {
  PooledState pooled(Pooling::Mean, dimension_);
  const TokenSequence sequence = text;
  evaluator_.evaluate({&sequence, 1}, [&](std::size_t, std::size_t position, std::span<const float> state) {
    if (position >= prompt.size()) pooled.add(state);
  });
  return settings_.reward->head->score(pooled.feature());
}

std::vector<Token> ReforwardSampler::write(std::span<const Token> prompt) {
  const auto every = static_cast<std::size_t>(settings_.branch->every);
  Sampler sampler(settings_.sampling, settings_.seed);
  sampler.accept(prompt);
  std::vector<Token> text(prompt.begin(), prompt.end());
  for (std::size_t t = 1; t <= settings_.max_tokens; ++t) {
    const std::span<TokenLogit> candidates = sampler.filter(session_.start(0, text).logits);
    if (t % every == 0) {
      const std::size_t scored = std::min(candidates.size(), static_cast<std::size_t>(settings_.branch->candidates));
      std::vector<double> scores;
      for (std::size_t c = 0; c < scored; ++c) {
        std::vector<Token> longer = text;
        longer.push_back(candidates[c].token);
        scores.push_back(score(prompt, longer));
      }
      const std::vector<double> added = normalised(scores, settings_.branch->normalisation);
      for (std::size_t c = 0; c < scored; ++c) {
        candidates[c].logit += static_cast<float>(settings_.branch->scale * added[c]);
      }
    }
    text.push_back(sampler.draw_from(candidates));
  }
  return {text.begin() + static_cast<std::ptrdiff_t>(prompt.size()), text.end()};
}

}  // namespace coala
