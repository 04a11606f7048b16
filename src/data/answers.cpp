#include "data/answers.h"

#include <fmt/format.h>

#include <algorithm>

namespace coala {
namespace {

using nlohmann::json;

/// A message, or one that lacks its content: whoever reads it says so.
bool is_meant_as_message(const json& value) {
  return value.is_object() && (value.contains("role") || value.contains("from"));
}

/// The text of an object that is a response and something about it.
const json* text_in(const json& object) {
  for (const char* name : {"text", "content", "value", "response", "answer", "completion", "output", "generation"}) {
    const auto found = object.find(name);
    if (found != object.end() && !found->is_null()) return &*found;
  }
  return nullptr;
}

}  // namespace

std::vector<Answer> answers_of(const Row& row, const json& value, const std::string& where) {
  if (value.is_null()) return {};
  if (value.is_string()) return {{value.get<std::string>(), {}}};
  if (is_meant_as_message(value)) return {{{}, row.messages_of(value, where)}};
  if (value.is_object()) {
    if (value.contains("messages")) return {{{}, row.messages_of(value, where)}};
    if (const json* text = text_in(value)) return answers_of(row, *text, where);
    row.fail(fmt::format("{} is an object without a text", where), "name what it holds: --columns chosen=chosen.FIELD");
  }
  if (!value.is_array()) row.fail(fmt::format("{} is neither a text nor a list", where));
  if (std::any_of(value.begin(), value.end(), is_meant_as_message)) return {{{}, row.messages_of(value, where)}};
  std::vector<Answer> answers;
  for (const json& item : value) {
    const std::string which = fmt::format("item {} of {}", answers.size() + 1, where);
    std::vector<Answer> one = answers_of(row, item, which);
    if (one.size() != 1) row.fail(fmt::format("{} is not one response", which));
    answers.push_back(std::move(one.front()));
  }
  return answers;
}

std::vector<Answer> read_answers(const Row& row, const char* column) {
  row.mark_read(column);
  if (!row.has(column)) return {};
  return answers_of(row, row.get(column), fmt::format("column \"{}\"", column));
}

std::size_t count_shared_turns(const std::vector<Message>& a, const std::vector<Message>& b) {
  const auto most = static_cast<std::ptrdiff_t>(std::min(a.size(), b.size())) - 1;
  const auto parted = std::mismatch(a.begin(), a.begin() + std::max<std::ptrdiff_t>(most, 0), b.begin()).first;
  return static_cast<std::size_t>(parted - a.begin());
}

std::string final_response(const Row& row, const std::string& where, const std::vector<Message>& messages,
                           std::size_t shared) {
  if (messages.size() != shared + 1 || messages.back().role != "assistant") {
    const std::string last = messages.empty() ? "none" : messages.back().role;
    row.fail(
        fmt::format("{} has {} messages after the {} that both responses share, the last one by {}; "
                    "expected exactly one, by the assistant",
                    where, messages.size() - std::min(shared, messages.size()), shared, last));
  }
  return messages.back().content;
}

std::string response_to(const Row& row, const std::string& where, const Answer& answer,
                        const std::vector<Message>& prompt) {
  if (answer.messages.empty()) return answer.text;
  const std::vector<Message>& messages = answer.messages;
  const auto repeats = [&](auto begin) {
    const auto count = static_cast<std::size_t>(prompt.end() - begin);
    return messages.size() > count && std::equal(begin, prompt.end(), messages.begin());
  };
  if (repeats(prompt.begin())) return final_response(row, where, messages, prompt.size());
  const bool system = !prompt.empty() && prompt.front().role == "system";
  if (system && repeats(prompt.begin() + 1)) return final_response(row, where, messages, prompt.size() - 1);
  return final_response(row, where, messages, 0);
}

}  // namespace coala
