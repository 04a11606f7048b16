#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "data/prompt_reader.h"
#include "decode/reply.h"
#include "head/head.h"
#include "lm/backbone.h"

namespace coala {

/// A record's reply as it is written, with its prompt: every command that reads answers takes it.
/// @param head  gives the score's probability; null: replies have no score
nlohmann::ordered_json reply_line(const PromptRecord& record, const Reply& reply, const Head* head,
                                  std::size_t candidate, std::size_t sample);
/// Replies that one was chosen from, without their prompt.
nlohmann::ordered_json candidate_list(std::span<const Reply> replies, const Head* head);
/// As JSON lines have it, with its line break; bytes that are not UTF-8 are replaced.
std::string one_line(const nlohmann::ordered_json& line);

/// What replies depend on of their prompts, taken as the model sees them: ids and tokens.
std::string prompts_hash(std::span<const PromptRecord> records, std::span<const EncodedPrompt> prompts);

}  // namespace coala
