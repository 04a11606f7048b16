#pragma once

#include <span>

#include "core/parallel.h"

namespace coala {

/// A change of the next token's logits, made at every token to the whole vocabulary, before penalties and filters: what
/// an adapter on the output matrix does. Called from several threads at once.
class LogitsProcessor {
 public:
  virtual ~LogitsProcessor() = default;

  /// Adds `scale` times the change.
  /// @param state    [d], after the final norm, of the last token
  /// @param logits   [vocabulary], changed in place
  /// @param threads  to share the work with; null: the caller does it
  virtual void add(std::span<const float> state, double scale, std::span<float> logits, ThreadPool* threads) const = 0;
};

}  // namespace coala
