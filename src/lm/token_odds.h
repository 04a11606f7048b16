#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "lm/tokenizer.h"

namespace coala {

/// The largest logit; NaN when one is NaN or +infinity, -infinity when none is finite.
float largest_or_nan(std::span<const float> logits);
/// The same. @throws Error{BadInput} when there is none, when one is NaN or +infinity, or none is finite
float largest_logit(std::span<const float> logits);

/// What a distribution says of a token that was drawn, by the logits' softmax: no filter, temperature 1. In nats.
struct TokenOdds {
  double log_probability = 0;
  double entropy = 0;         ///< of the distribution: -log_probability, as the model expects it to be
  double log_normaliser = 0;  ///< log of the sum of the logits' exponentials
};

/// @throws Error{BadInput} as largest_logit(), Error{Internal} for a token that is none
TokenOdds token_odds(std::span<const float> logits, Token token);

/// A token and its log-probability, in nats.
struct TokenProbability {
  Token token = 0;
  double log_probability = 0;
};

/// The most probable tokens by the logits' softmax, first the best; of equal ones first the smaller number. As many as
/// asked for, or all.
/// @throws Error{BadInput} as largest_logit()
std::vector<TokenProbability> most_probable(std::span<const float> logits, std::size_t count);

/// Kullback-Leibler divergence of the guided distribution from the model's own, in nats: what `guided` expects its own
/// log-probability to be above the model's. Both are logits of the same vocabulary.
/// @param of_own  the odds of any token by `own`, where they are known already
/// @throws Error{BadInput} as largest_logit()
double divergence(std::span<const float> guided, std::span<const float> own, const TokenOdds& of_own);
double divergence(std::span<const float> guided, std::span<const float> own);

}  // namespace coala
