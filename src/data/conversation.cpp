#include "data/conversation.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/utf8.h"
#include "data/prompt_columns.h"

namespace coala {
namespace {

std::vector<Message> read_utterances(const Row& row) {
  const nlohmann::json& list = row.get("utterances", "a list of [speaker, text]");
  if (!list.is_array()) row.fail("column \"utterances\" is not a list of [speaker, text]");
  std::vector<Message> turns;
  turns.reserve(list.size());
  for (const nlohmann::json& item : list) {
    if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_string()) {
      row.fail(fmt::format("utterance {} is not a list of two texts; expected [speaker, text]", turns.size() + 1));
    }
    const auto& speaker = item[0].get_ref<const std::string&>();
    if (speaker != "agent1" && speaker != "agent2") {
      row.fail(fmt::format("the speaker of utterance {} is {}; expected \"agent1\" (tutor) or \"agent2\" (student)",
                           turns.size() + 1, quoted_text(speaker, 40)));
    }
    turns.push_back({speaker == "agent1" ? "assistant" : "user", item[1].get<std::string>()});
  }
  return turns;
}

}  // namespace

std::vector<Message> read_conversation(const Row& row, Shape shape) {
  std::vector<Message> turns;
  if (shape == Shape::EduFeedback) {
    turns = read_utterances(row);
  } else if (shape == Shape::ShareGpt || shape == Shape::OpenAiMessages) {
    turns = row.messages(shape == Shape::ShareGpt ? "conversations" : "messages");
    add_system(row, turns);
  } else {
    throw Error(ErrorCode::Internal, fmt::format("{} is not a shape of conversations", shape_name(shape)));
  }
  if (turns.size() > kMostTurns) {
    row.fail(fmt::format("the conversation has {} turns; expected at most {}", turns.size(), kMostTurns),
             "split it into several conversations");
  }
  return turns;
}

}  // namespace coala
