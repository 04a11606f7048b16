#include "cli/prompts.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/interrupt.h"

namespace coala {

std::vector<EncodedPrompt> encode_prompts(const Backbone& backbone, std::span<const PromptRecord> records,
                                          TemplateMode mode) {
  const std::size_t context = backbone.identity().context_tokens;
  std::vector<EncodedPrompt> prompts;
  for (const PromptRecord& record : records) {
    throw_if_interrupted();
    try {
      prompts.push_back(backbone.encode_prompt(record.prompt, mode));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::BadInput) throw;
      throw Error(error.code(), fmt::format("record '{}': {}", record.id, error.what()), error.hint());
    }
    const std::size_t tokens = prompts.back().tokens.size();
    if (tokens == 0) {
      throw Error(ErrorCode::BadInput, fmt::format("record '{}': the prompt has no tokens to continue", record.id),
                  "drop the record or give it a prompt; this model has no token that starts a text");
    }
    if (tokens >= context) {
      throw Error(ErrorCode::BadInput,
                  fmt::format("record '{}': the prompt has {} tokens, the context of {} is {}: no room for a reply",
                              record.id, tokens, backbone.identity().name, context),
                  backbone.identity().context_reason.empty()
                      ? "shorten the prompt, or use a model with a longer context"
                      : "shorten the prompt; " + backbone.identity().context_reason);
    }
  }
  return prompts;
}

}  // namespace coala
