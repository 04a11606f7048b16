#pragma once

#include <span>
#include <vector>

#include "data/prompt_reader.h"
#include "lm/backbone.h"

namespace coala {

/// Tokens of prompts; what cannot be answered is found before anything is generated.
/// @throws Error{BadInput} naming the record: without tokens, or without room for a reply in the model's context
std::vector<EncodedPrompt> encode_prompts(const Backbone& backbone, std::span<const PromptRecord> records,
                                          TemplateMode mode);

}  // namespace coala
