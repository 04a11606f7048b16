#pragma once

#include <cstddef>
#include <span>

#include "lm/tokenizer.h"

namespace coala {

/// A token of a response, or of its prompt, as it is evaluated.
struct EvaluatedToken {
  std::size_t response = 0;  ///< which of those that are evaluated together
  std::size_t position = 0;  ///< in prompt and response
  Token token = 0;
  std::span<const float> state;  ///< valid during the call; see StateVisitor
};

/// Takes the tokens of several responses in one pass: those of a response in order, those of different ones mixed.
class TokenConsumer {
 public:
  virtual ~TokenConsumer() = default;
  virtual void take(const EvaluatedToken& token) = 0;
};

}  // namespace coala
