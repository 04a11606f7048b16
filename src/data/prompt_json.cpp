#include "data/prompt_json.h"

namespace coala {

nlohmann::ordered_json prompt_json(const Prompt& prompt) {
  if (prompt.messages.empty()) return prompt.text;
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  for (const Message& message : prompt.messages) {
    messages.push_back({{"role", message.role}, {"content", message.content}});
  }
  return messages;
}

nlohmann::ordered_json prompt_fields(const Prompt& prompt) {
  if (prompt.messages.empty() && prompt.text.empty()) return nlohmann::ordered_json::object();
  return {{prompt.messages.empty() ? "prefix" : "prompt", prompt_json(prompt)}};
}

}  // namespace coala
