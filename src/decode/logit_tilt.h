#pragma once

#include <span>

namespace coala {

/// Something that is added to the logits of the next token before anything else is done with them: at every token, to
/// the whole vocabulary, as a change of the model's output matrix would be. Safe to use from many threads.
class LogitTilt {
 public:
  virtual ~LogitTilt() = default;
  /// @param state   [d]; the last hidden state, of which the logits are made
  /// @param logits  [vocabulary]
  virtual void add(std::span<const float> state, std::span<float> logits) const = 0;
};

}  // namespace coala
