#include "decode/reply_lines.h"

#include "core/hash.h"
#include "data/prompt_json.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

Json reply_fields(const Reply& reply, const Head* head) {
  Json fields{{"text", reply.text},
              {"tokens", reply.tokens.size()},
              {"finish", finish_name(reply.finish)},
              {"log_probability", reply.log_probability},
              {"log_probability_tokens", reply.log_probability_tokens},
              {"entropy", reply.entropy}};
  if (reply.divergence > 0) fields["divergence"] = reply.divergence;
  if (!reply.reasoning.empty()) fields["reasoning"] = reply.reasoning;
  if (reply.score) {
    fields["score"] = *reply.score;
    fields["probability"] = head->probability(*reply.score);
  }
  return fields;
}

}  // namespace

std::string one_line(const Json& line) {
  return line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string prompts_hash(std::span<const PromptRecord> records, std::span<const EncodedPrompt> prompts) {
  Hasher hasher;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    hasher.add(records[i].id).add(static_cast<std::int64_t>(prompts[i].tokens.size()));
    hasher.add(prompts[i].tokens.data(), prompts[i].tokens.size() * sizeof(Token));
  }
  return hasher.hex();
}

Json reply_line(const PromptRecord& record, const Reply& reply, const Head* head, std::size_t candidate,
                std::size_t sample) {
  Json line{{"id", record.id}};
  line.update(prompt_fields(record.prompt));
  line.update(reply_fields(reply, head));
  line["candidate"] = candidate;
  line["sample"] = sample;
  return line;
}

Json candidate_list(std::span<const Reply> replies, const Head* head) {
  Json list = Json::array();
  for (const Reply& reply : replies) list.push_back(reply_fields(reply, head));
  return list;
}

}  // namespace coala
