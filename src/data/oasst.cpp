#include "data/oasst.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace coala {
namespace {

using nlohmann::json;

const char* role_of(const Row& row, const std::string& role) {
  if (role == "prompter") return "user";
  if (role == "assistant") return "assistant";
  row.fail(fmt::format("the role is \"{}\"; expected prompter or assistant", role));
}

OasstMessage message_of(const Row& row) {
  OasstMessage message{row.text("message_id"), row.has("parent_id") ? row.text("parent_id") : "", row.text("text"),
                       role_of(row, row.text("role")), row.number("rank")};
  for (const auto& [column, value] : row.object().items()) row.mark_read(column);  // reviews, moods, dates
  return message;
}

/// The pairs of a list of messages, parents before their answers.
std::vector<Pair> pairs_of(const Row& row, const std::vector<OasstMessage>& messages, Rankings rankings,
                           ReaderCounts& counts) {
  std::map<std::string, std::size_t> place;
  std::map<std::string, std::vector<std::size_t>> answers;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    place[messages[i].id] = i;
    if (messages[i].role == "assistant" && messages[i].rank) answers[messages[i].parent].push_back(i);
  }
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i < messages.size(); ++i) {  // in the order of the file
    const auto found = answers.find(messages[i].id);
    if (found == answers.end()) continue;
    Prompt prompt;
    std::size_t steps = 0;
    for (auto at = place.find(messages[i].id); at != place.end() && steps <= messages.size(); ++steps) {
      const OasstMessage& turn = messages[at->second];
      prompt.messages.push_back({turn.role, turn.text});
      at = place.find(turn.parent);
    }
    if (steps > messages.size()) row.fail("the messages answer each other in a circle");
    std::reverse(prompt.messages.begin(), prompt.messages.end());
    std::vector<Ranked> ranked;
    for (const std::size_t answer : found->second) ranked.push_back({messages[answer].text, -*messages[answer].rank});
    std::vector<Pair> own = pairs_of_ranking(row, prompt, ranked, false, rankings, counts);
    std::move(own.begin(), own.end(), std::back_inserter(pairs));
  }
  if (pairs.empty()) ++counts.alone;
  return pairs;
}

void flatten(const Row& row, const json& node, const std::string& parent, std::vector<OasstMessage>& messages) {
  const auto text = [&](const char* name) -> std::string {
    const auto found = node.is_object() ? node.find(name) : node.end();
    if (!node.is_object() || found == node.end() || !found->is_string()) {
      row.fail(fmt::format("a message of the tree has no \"{}\" that is a text", name));
    }
    return found->get<std::string>();
  };
  OasstMessage message{std::to_string(messages.size()), parent, text("text"), role_of(row, text("role")), std::nullopt};
  if (const auto rank = node.find("rank"); rank != node.end() && rank->is_number()) message.rank = rank->get<double>();
  const std::string id = message.id;
  messages.push_back(std::move(message));
  const auto replies = node.find("replies");
  if (replies == node.end() || !replies->is_array()) return;
  for (const json& reply : *replies) flatten(row, reply, id, messages);
}

}  // namespace

bool is_oasst_message(const Row& row) {
  return row.has("message_id") && row.has_key("parent_id") && row.has_text("text") && row.has_text("role");
}

bool is_oasst_tree(const Row& row) {
  return row.has_object("prompt") && row.object().at("prompt").contains("replies");
}

OasstGroup::OasstGroup(const Row& row) : messages_{message_of(row)} {}

bool OasstGroup::add(const Row& row) {
  OasstMessage message = message_of(row);
  if (message.parent.empty()) return false;  // the first of another tree
  if (messages_.size() == kMostMessages) {
    row.fail(fmt::format("a tree has more than {} messages", kMostMessages), "sort the file by message_tree_id");
  }
  messages_.push_back(std::move(message));
  return true;
}

std::vector<Pair> OasstGroup::pairs(const Row& row, Rankings rankings, ReaderCounts& counts) const {
  return pairs_of(row, messages_, rankings, counts);
}

std::vector<Pair> read_oasst_tree(const Row& row, Rankings rankings, ReaderCounts& counts) {
  std::vector<OasstMessage> messages;
  flatten(row, row.get("prompt"), "", messages);
  for (const auto& [column, value] : row.object().items()) row.mark_read(column);
  return pairs_of(row, messages, rankings, counts);
}

}  // namespace coala
