#pragma once

#include <span>

#include "lm/tokenizer.h"

namespace coala {

/// The largest logit. @throws Error{BadInput} when there is none, when one is NaN or +infinity, or none is finite
float largest_logit(std::span<const float> logits);

/// What a distribution says of a token that was drawn, by the logits' softmax: no filter, temperature 1. In nats.
struct TokenOdds {
  double log_probability = 0;
  double entropy = 0;  ///< of the distribution: -log_probability, as the model expects it to be
};

/// @throws Error{BadInput} as largest_logit(), Error{Internal} for a token that is none
TokenOdds token_odds(std::span<const float> logits, Token token);

/// Kullback-Leibler divergence of the guided distribution from the model's own, in nats: what `guided` expects its own
/// log-probability to be above the model's. Both are logits of the same vocabulary.
/// @throws Error{BadInput} as largest_logit()
double divergence(std::span<const float> guided, std::span<const float> own);

}  // namespace coala
