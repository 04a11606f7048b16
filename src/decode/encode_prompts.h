#pragma once

#include <vector>

#include "data/prompt_reader.h"
#include "lm/backbone.h"

namespace coala {

/// How prompts become text.
struct PromptForm {
  TemplateMode mode = TemplateMode::Model;
  Thinking thinking = Thinking::Off;
};

/// Tokens of prompts; what cannot be answered is found before anything is generated.
/// @param records   those that cannot be answered are taken out and named when they may be skipped
/// @throws Error{BadInput} naming the record: without tokens, or without room for a reply in the model's context;
///   when nothing is left
std::vector<EncodedPrompt> encode_prompts(const Backbone& backbone, std::vector<PromptRecord>& records,
                                          const PromptForm& form, bool skip_bad);

}  // namespace coala
