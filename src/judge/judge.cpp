#include "judge/judge.h"

namespace coala {

std::vector<double> Judge::scores(std::span<const ReplyToJudge> replies) {
  std::vector<double> scores(replies.size());
  score_each(replies, [&scores](std::size_t i, double score) { scores[i] = score; });
  return scores;
}

nlohmann::ordered_json prompt_json(const Prompt& prompt) {
  if (prompt.messages.empty()) return prompt.text;
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  for (const Message& message : prompt.messages) {
    messages.push_back({{"role", message.role}, {"content", message.content}});
  }
  return messages;
}

}  // namespace coala
