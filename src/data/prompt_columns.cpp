#include "data/prompt_columns.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/utf8.h"
#include "data/hh_turns.h"

namespace coala {
namespace {

using nlohmann::json;

constexpr std::array kTexts{"prompt",  "question", "instruction", "query",   "problem", "user",
                            "request", "post",     "history",     "context", "input"};
constexpr std::array kPromptLists{"prompt",  "messages", "conversations", "conversation", "context",
                                  "history", "input",    "question",      "dialogue"};
constexpr std::array kSystems{"system", "system_prompt", "system_message", "sys"};

/// The text that a question's object holds beside its source (WebGPT).
const std::string* full_text(const Row& row, const char* column) {
  if (!row.has_object(column)) return nullptr;
  const json& object = row.object().at(column);
  const auto found = object.find("full_text");
  return found != object.end() && found->is_string() ? &found->get_ref<const std::string&>() : nullptr;
}

bool holds_text(const Row& row, const char* column) {
  if (full_text(row, column) != nullptr) return true;
  return row.has_text(column) && !is_blank(row.object().at(column).get_ref<const std::string&>());
}

const std::string& text_of(const Row& row, const char* column) {
  if (const std::string* text = full_text(row, column)) {
    row.mark_read(column);
    return *text;
  }
  return row.text(column);
}

/// Earlier turns as a list of [question, answer].
void add_history(const Row& row, std::vector<Message>& messages) {
  if (!row.has_list("history") || row.has_messages("history")) return;
  const json& list = row.get("history");
  for (const json& turn : list) {
    if (!turn.is_array() || turn.size() != 2 || !turn[0].is_string() || !turn[1].is_string()) {
      row.fail("column \"history\" is neither a list of messages nor of [question, answer]");
    }
    messages.push_back({"user", turn[0].get<std::string>()});
    messages.push_back({"assistant", turn[1].get<std::string>()});
  }
}

/// HelpSteer2 writes later turns behind "<extra_id_1>Assistant\n" and "<extra_id_1>User\n".
std::vector<Message> parse_extra_id_turns(std::string_view text) {
  constexpr std::string_view kMarker = "<extra_id_1>";
  std::vector<Message> turns;
  const char* role = "user";
  while (true) {
    const std::size_t marker = text.find(kMarker);
    turns.push_back({role, std::string(trimmed(text.substr(0, marker)))});
    if (marker == std::string_view::npos) break;
    text.remove_prefix(marker + kMarker.size());
    const std::size_t line = text.find('\n');
    const std::string_view speaker = text.substr(0, line);
    if (speaker != "User" && speaker != "Assistant") return {};
    role = speaker == "User" ? "user" : "assistant";
    text.remove_prefix(line == std::string_view::npos ? text.size() : line + 1);
  }
  if (turns.size() > 1 && turns.back().role == "assistant" && turns.back().content.empty()) turns.pop_back();
  return turns;
}

}  // namespace

const char* prompt_text_column(const Row& row) {
  for (const char* column : kTexts) {
    if (holds_text(row, column)) return column;
  }
  return row.has_text("prompt") ? "prompt" : nullptr;  // an empty one is a prompt, too
}

const char* prompt_list_column(const Row& row) {
  if (row.has_messages("prompt")) return "prompt";
  if (holds_text(row, "prompt")) return nullptr;
  for (const char* column : kPromptLists) {
    if (row.has_messages(column) && !row.ends_with_answer(column)) return column;
  }
  return nullptr;
}

const char* conversation_column(const Row& row) {
  for (const char* column : {"messages", "conversations", "conversation", "dialogue", "chat", "prompt"}) {
    if (row.has_messages(column)) return column;
  }
  return nullptr;
}

bool has_null_prompt(const Row& row) {
  const char* text = prompt_text_column(row);
  const bool only_input = text != nullptr && std::string_view(text) == "input";
  if (prompt_list_column(row) != nullptr || (text != nullptr && !only_input)) return false;
  const auto is_null = [&](const char* column) {
    return std::string_view(column) != "input" && row.has_key(column) && !row.has(column);
  };
  return std::any_of(kTexts.begin(), kTexts.end(), is_null) ||
         std::any_of(kPromptLists.begin(), kPromptLists.end(), is_null);
}

bool has_prompt(const Row& row) {
  return prompt_list_column(row) != nullptr || prompt_text_column(row) != nullptr;
}

std::vector<Message> messages_of_text(const std::string& text) {
  if (is_hh_dialogue(text)) {
    std::vector<Message> turns = parse_hh_turns(text);
    if (turns.size() > 1 && turns.back().role == "assistant" && is_blank(turns.back().content)) turns.pop_back();
    if (turns.back().role == "user") return turns;
  }
  if (text.find("<extra_id_1>") != std::string::npos) {
    std::vector<Message> turns = parse_extra_id_turns(text);
    if (turns.size() > 1) return turns;
  }
  return {{"user", text}};
}

Prompt read_prompt_or_prefix(const Row& row) {
  if (row.has("prefix") && !has_prompt(row)) return {{}, row.text("prefix")};
  return read_prompt(row);
}

void add_system(const Row& row, std::vector<Message>& messages) {
  for (const char* column : kSystems) {
    if (!row.has_text(column)) continue;
    const std::string& text = row.object().at(column).get_ref<const std::string&>();
    if (is_blank(text)) continue;
    const bool own = !messages.empty() && messages.front().role == "system";
    if (own && trimmed(messages.front().content) != trimmed(text)) return;  // the row says that it was not read
    row.mark_read(column);
    if (!own) messages.insert(messages.begin(), {"system", text});
    return;
  }
}

Prompt read_prompt(const Row& row) {
  Prompt prompt;
  if (const char* list = prompt_list_column(row)) {
    prompt.messages = row.messages(list);
  } else if (const char* column = prompt_text_column(row)) {
    add_history(row, prompt.messages);
    std::string text = text_of(row, column);
    if (std::string_view(column) != "input" && holds_text(row, "input")) {
      text += text.empty() ? "" : "\n";
      text += row.text("input");
    }
    const std::vector<Message> turns = messages_of_text(text);
    prompt.messages.insert(prompt.messages.end(), turns.begin(), turns.end());
  }
  add_system(row, prompt.messages);
  return prompt;
}

}  // namespace coala
