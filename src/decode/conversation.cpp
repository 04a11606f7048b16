#include "decode/conversation.h"

#include <algorithm>
#include <utility>

namespace coala {

/// Twice the room that is needed, so that a conversation is evaluated anew a few times at most.
void Conversation::make_room(const EncodedPrompt& prompt, const GenerationSettings& settings) {
  const std::size_t context = backbone_.identity().context_tokens;
  const auto streams = static_cast<std::size_t>(std::max(1, settings.candidates));
  const auto needed = [&](std::size_t tokens) {
    const std::size_t text = std::min(context, tokens);
    const std::size_t reply = std::min(settings.max_tokens, context - text);
    return text + streams * std::max<std::size_t>(1, reply);
  };
  const std::size_t tokens = prompt.tokens.size();
  if (engine_ && options_.cells >= needed(tokens) && options_.streams >= settings.candidates) return;
  engine_.reset();
  options_ = {.streams = static_cast<int>(streams),
              .cells = std::max(needed(tokens), needed(std::max<std::size_t>(256, 2 * tokens))),
              .threads = threads_,
              .keeps_last = true};
  engine_.emplace(backbone_, options_);
}

std::vector<Reply> Conversation::write(const EncodedPrompt& prompt, const GenerationSettings& settings) {
  settings.validate();
  make_room(prompt, settings);
  std::vector<Reply> replies;
  std::optional<Error> failure;
  engine_->submit({prompt, settings, [&](std::vector<Reply>&& done) { replies = std::move(done); },
                   [&](const Error& error) { failure = error; }});
  try {
    while (engine_->step()) {
    }
  } catch (...) {
    engine_->clear();
    throw;
  }
  if (failure) throw Error(*failure);
  return replies;
}

}  // namespace coala
