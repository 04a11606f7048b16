#pragma once

#include <optional>
#include <vector>

#include "decode/engine.h"
#include "decode/generation_settings.h"
#include "decode/reply.h"

namespace coala {

/// Writes replies to a text that grows, such as a conversation: what was evaluated of it before is not evaluated again,
/// up to the first token that differs. One thread at a time.
class Conversation {
 public:
  Conversation(const Backbone& backbone, int threads) : backbone_(backbone), threads_(threads) {}

  /// @throws as Generator::generate(); after an interrupt the whole text is evaluated again
  std::vector<Reply> write(const EncodedPrompt& prompt, const GenerationSettings& settings);

  /// Of the engine at hand, which is a new one when a conversation outgrows the last.
  SessionCounts counts() const { return engine_ ? engine_->counts() : SessionCounts(); }

 private:
  void make_room(const EncodedPrompt& prompt, const GenerationSettings& settings);

  const Backbone& backbone_;
  int threads_;
  EngineOptions options_;
  std::optional<Engine> engine_;
};

}  // namespace coala
