#include "decode/prompt_opener.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/interrupt.h"

namespace coala {

PromptOpener::PromptOpener(const Backbone& backbone, const GenerationSettings& settings, const EncodedPrompt& prompt)
    : prompt_(prompt) {
  const BackboneIdentity& model = backbone.identity();
  if (prompt.tokens.size() >= model.context_tokens) {
    throw Error(ErrorCode::BadInput,
                fmt::format("the prompt has {} tokens; the context of {} is {}, which leaves no room for a reply",
                            prompt.tokens.size(), model.name, model.context_tokens),
                "shorten the prompt, or use a model with a longer context");
  }
  if (settings.reward) feature_.emplace(settings.reward->features.pooling, model.dimension);
  if (settings.needs_prompt_states()) {
    visitor_ = [this](std::size_t, std::span<const float> state) { feature_->add(state); };
  }
}

std::size_t PromptOpener::advance(Session& session, int sequence, std::size_t rows) {
  throw_if_interrupted();
  const std::size_t size = prompt_.tokens.size();
  const std::size_t count = std::min(rows, size - done_);
  const std::span<const Token> piece = std::span(prompt_.tokens).subspan(done_, count);
  const bool last = done_ + count == size;
  if (done_ == 0) session.drop(sequence);
  const Session::Output next = session.prefill(sequence, piece, last, visitor_);
  done_ += count;
  ready_ = last;
  if (last) next_ = Session::OwnedOutput(next);
  return count;
}

}  // namespace coala
