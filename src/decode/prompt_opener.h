#pragma once

#include <cstddef>
#include <optional>

#include "decode/generation_settings.h"
#include "decode/pooled_state.h"
#include "lm/session.h"

namespace coala {

/// The evaluation of a prompt that replies are to be written to, in one piece or several.
class PromptOpener {
 public:
  /// All must outlive it.
  /// @throws Error{BadInput} when the prompt leaves no room for a reply in the model's context
  PromptOpener(const Backbone& backbone, const GenerationSettings& settings, const EncodedPrompt& prompt);

  /// Says, before anything is evaluated, that the sequence holds this many of the prompt's first tokens, of which some
  /// must be left.
  void skip(std::size_t tokens) { done_ = tokens; }

  /// Evaluates at most `rows` tokens more into the sequence, whose old content is dropped first where nothing of it is
  /// used; the last token comes in a decode of its own, but where all states are wanted.
  /// @return  tokens that were evaluated
  /// @throws Error{Interrupted}, Error{BadInput} for a prompt without tokens or larger than the session
  std::size_t advance(Session& session, int sequence, std::size_t rows);

  bool ready() const { return ready_; }
  /// What follows the prompt, when it is ready.
  const Session::OwnedOutput& next() const { return next_; }
  /// Its feature, when replies are scored.
  const std::optional<PooledState>& feature() const { return feature_; }

 private:
  PromptOpener(const PromptOpener&) = delete;
  PromptOpener& operator=(const PromptOpener&) = delete;

  const EncodedPrompt& prompt_;
  Session::PromptVisitor visitor_;
  std::optional<PooledState> feature_;
  std::size_t done_ = 0;
  bool ready_ = false;
  Session::OwnedOutput next_;
};

}  // namespace coala
