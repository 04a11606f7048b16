#include "decode/conversation.h"

#include <algorithm>
#include <utility>

#include "decode/engine_room.h"

namespace coala {

/// For twice the tokens, so that a conversation is evaluated anew a few times at most.
void Conversation::make_room(const EncodedPrompt& prompt, const GenerationSettings& settings) {
  const std::size_t tokens = prompt.tokens.size();
  EngineOptions wanted = room_for(backbone_, settings, tokens, 1, threads_);
  if (engine_ && options_.cells >= wanted.cells && options_.streams >= wanted.streams &&
      options_.branches >= wanted.branches)
    return;
  engine_.reset();
  const EngineOptions larger = room_for(backbone_, settings, std::max<std::size_t>(256, 2 * tokens), 1, threads_);
  options_ = wanted;
  if (larger.streams == wanted.streams) options_.cells = std::max(wanted.cells, larger.cells);
  options_.kept_texts = 1;
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
