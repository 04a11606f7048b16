#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "lm/tokenizer.h"

namespace coala {

/// How a token is drawn. The order: penalty, top-k, top-p, min-p, temperature, draw; so the temperature does not change
/// which tokens are kept.
struct SamplerOptions {
  double temperature = 0.7;             ///< 0: always the most probable token; else 0.001 to 1000
  double top_p = 0.9;                   ///< keep the most probable tokens that have this mass; in (0, 1], 1: all
  int top_k = 40;                       ///< keep that many; 0: all
  double min_p = 0;                     ///< keep those above this share of the most probable one; in [0, 1], 0: all
  double repeat_penalty = 1;            ///< divides positive and multiplies negative logits; 0.1 to 10, 1: none
  std::size_t repeat_last_tokens = 64;  ///< how far back the penalty looks

  /// @throws Error{BadUsage} naming the option, its value and its range
  void validate() const;
};

/// llama.cpp's sampler chain for one sequence, after a penalty and a top-k of our own. llama.cpp's penalty looks every
/// token of the vocabulary up in a hash table, ours changes the few that occurred; its top-k copies and sorts the whole
/// vocabulary, ours passes over it once.
class Sampler {
 public:
  /// Same options, seed and logits: same tokens.
  /// @throws Error{BadUsage}, see SamplerOptions::validate()
  Sampler(const SamplerOptions& options, std::uint64_t seed);
  ~Sampler();
  Sampler(Sampler&&) noexcept;
  Sampler& operator=(Sampler&&) noexcept;

  /// Draws a token and remembers it for the penalty.
  /// @param logits  [vocabulary]; -infinity rules a token out
  /// @throws Error{BadInput} when a logit is NaN or +infinity or none is finite
  Token draw(std::span<const float> logits);

  /// Tells the penalty about tokens that were not drawn here, such as the prompt's.
  void accept(std::span<const Token> tokens);

 private:
  struct Chain;
  std::span<const float> penalise(std::span<const float> logits);

  float repeat_penalty_;
  std::size_t repeat_last_tokens_;  ///< 0 when nothing is penalised
  std::size_t keep_;                ///< top-k; 0: all
  std::vector<Token> recent_;       ///< at most repeat_last_tokens_
  std::vector<float> penalised_;    ///< logits, when there is something to penalise
  std::unique_ptr<Chain> chain_;
};

/// Log-probability of a token under the logits' softmax: no filter, temperature 1.
/// @throws Error{BadInput} as Sampler::draw()
double log_probability(std::span<const float> logits, Token token);

}  // namespace coala
