#include "decode/encode_prompts.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/progress.h"

namespace coala {
namespace {

EncodedPrompt encode_prompt(const Backbone& backbone, const PromptRecord& record, const PromptForm& form) {
  const BackboneIdentity& model = backbone.identity();
  EncodedPrompt prompt;
  try {
    prompt = backbone.encode_prompt(record.prompt, form.mode, form.thinking);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::BadInput) throw;
    throw Error(error.code(), fmt::format("record '{}': {}", record.id, error.what()), error.hint());
  }
  const std::size_t tokens = prompt.tokens.size();
  if (tokens == 0) {
    throw Error(ErrorCode::BadInput, fmt::format("record '{}': the prompt has no tokens to continue", record.id),
                "drop the record or give it a prompt; this model has no token that starts a text");
  }
  if (tokens >= model.context_tokens) {
    throw Error(ErrorCode::BadInput,
                fmt::format("record '{}': the prompt has {} tokens, the context of {} is {}: no room for a reply",
                            record.id, tokens, model.name, model.context_tokens),
                model.context_reason.empty() ? "shorten the prompt, or use a model with a longer context"
                                             : "shorten the prompt; " + model.context_reason);
  }
  return prompt;
}

}  // namespace

std::vector<EncodedPrompt> encode_prompts(const Backbone& backbone, std::vector<PromptRecord>& records,
                                          const PromptForm& form, bool skip_bad) {
  std::vector<EncodedPrompt> prompts;
  std::vector<PromptRecord> kept;
  for (PromptRecord& record : records) {
    throw_if_interrupted();
    try {
      prompts.push_back(encode_prompt(backbone, record, form));
    } catch (const Error& error) {
      if (!skip_bad || error.code() != ErrorCode::BadInput) throw;
      log_warning(fmt::format("left out: {}", error.what()));
      continue;
    }
    kept.push_back(std::move(record));
  }
  if (kept.size() < records.size()) {
    log_warning(fmt::format("{} of {} records were left out", records.size() - kept.size(), records.size()));
    if (kept.empty())
      throw Error(ErrorCode::BadInput, "no record is left", "do not skip bad records, to see what is wrong");
  }
  records = std::move(kept);
  return prompts;
}

}  // namespace coala
