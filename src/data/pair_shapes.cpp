#include "data/pair_shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "core/utf8.h"
#include "data/hh_turns.h"

namespace coala {
namespace {

using nlohmann::json;

/// Number of turns that both dialogues start with, the last turn of each left out: that one is the response.
std::size_t count_shared_turns(const std::vector<Message>& a, const std::vector<Message>& b) {
  const auto most = static_cast<std::ptrdiff_t>(std::min(a.size(), b.size())) - 1;
  const auto parted = std::mismatch(a.begin(), a.begin() + std::max<std::ptrdiff_t>(most, 0), b.begin()).first;
  return static_cast<std::size_t>(parted - a.begin());
}

std::vector<Message> first_turns(const std::vector<Message>& turns, std::size_t count) {
  return {turns.begin(), turns.begin() + static_cast<std::ptrdiff_t>(count)};
}

/// The content of the one assistant message that follows the first `shared` ones.
std::string final_response(const Row& row, const char* column, const std::vector<Message>& messages,
                           std::size_t shared) {
  if (messages.size() != shared + 1 || messages.back().role != "assistant") {
    const std::string last = messages.empty() ? "none" : messages.back().role;
    row.fail(
        fmt::format("column \"{}\" has {} messages after the {} that both responses share, the last one by {}; "
                    "expected exactly one, by the assistant",
                    column, messages.size() - std::min(shared, messages.size()), shared, last));
  }
  return messages.back().content;
}

/// A prompt that is a text (one message of the user) or a list of messages.
Prompt prompt_column(const Row& row) {
  if (row.has_list("prompt")) return {row.messages("prompt"), {}};
  return {{{"user", row.text("prompt")}}, {}};
}

Pair read_explicit(const Row& row) {
  Pair pair;
  pair.prompt = prompt_column(row);
  if (!row.has_list("chosen") && !row.has_list("rejected")) {
    pair.chosen = row.text("chosen");
    pair.rejected = row.text("rejected");
    return pair;
  }
  const auto response = [&](const char* column) {
    const std::vector<Message> messages = row.messages(column);
    const std::vector<Message>& head = pair.prompt.messages;
    const bool repeats = messages.size() > head.size() && std::equal(head.begin(), head.end(), messages.begin());
    return final_response(row, column, messages, repeats ? head.size() : 0);
  };
  pair.chosen = response("chosen");
  pair.rejected = response("rejected");
  return pair;
}

Pair read_implicit_texts(std::string_view chosen, std::string_view rejected) {
  const std::size_t shared = shared_prefix_length(chosen, rejected);
  Pair pair;
  pair.prompt.text = chosen.substr(0, shared);
  pair.chosen = chosen.substr(shared);
  pair.rejected = rejected.substr(shared);
  return pair;
}

Pair read_implicit_messages(const Row& row) {
  const std::vector<Message> chosen = row.messages("chosen");
  const std::vector<Message> rejected = row.messages("rejected");
  const std::size_t shared = count_shared_turns(chosen, rejected);
  Pair pair;
  pair.chosen = final_response(row, "chosen", chosen, shared);
  pair.rejected = final_response(row, "rejected", rejected, shared);
  pair.prompt.messages = first_turns(chosen, shared);
  return pair;
}

Pair read_h4(const Row& row) {
  Pair pair = read_implicit_messages(row);
  const std::string& prompt = row.text("prompt");
  std::vector<Message>& head = pair.prompt.messages;
  const auto is_user = [](const Message& message) { return message.role == "user"; };
  if (std::none_of(head.begin(), head.end(), is_user)) {
    head.push_back({"user", prompt});
    return pair;
  }
  // The lists repeat the prompt (some files trim it on one side only); of a longer dialogue it is one of the turns.
  const auto repeats = [&](const Message& message) {
    return is_user(message) && trimmed(message.content) == trimmed(prompt);
  };
  if (std::none_of(head.begin(), head.end(), repeats)) {
    row.fail(fmt::format("\"prompt\" is {}, but the messages that \"chosen\" and \"rejected\" share ask something else",
                         quoted_text(prompt)),
             "remove the column \"prompt\" if the message lists are right");
  }
  return pair;
}

std::optional<Pair> read_hh_texts(const Row& row, const std::string& chosen_text, const std::string& rejected_text,
                                  ReaderCounts& counts) {
  const std::vector<Message> chosen = parse_hh_turns(chosen_text);
  const std::vector<Message> rejected = parse_hh_turns(rejected_text);
  if (chosen.empty() || rejected.empty()) {
    row.fail(fmt::format("a dialogue starts with {}; expected \"\\n\\nHuman: \" or \"\\n\\nAssistant: \"",
                         quoted_text(chosen.empty() ? chosen_text : rejected_text, 40)));
  }
  const std::size_t shared = count_shared_turns(chosen, rejected);
  if (chosen[shared].role != "assistant" || rejected[shared].role != "assistant") {
    // Without any answer to compare, or an answer to different questions.
    ++(chosen[shared].content == rejected[shared].content ? counts.empty : counts.no_shared_prompt);
    return std::nullopt;
  }
  if (chosen.back().role != "assistant" || rejected.back().role != "assistant") {
    ++counts.empty;
    return std::nullopt;
  }
  Pair pair;
  pair.prompt.messages = first_turns(chosen, shared);
  // Usually one turn each. When the dialogues part earlier, the preference was given on all that follows, so all of it
  // is the response, word for word with its markers.
  pair.chosen = join_hh_turns(chosen, shared);
  pair.rejected = join_hh_turns(rejected, shared);
  if (chosen.size() > shared + 1 || rejected.size() > shared + 1) ++counts.diverged_early;
  return pair;
}

std::optional<Pair> read_hh(const Row& row, ReaderCounts& counts) {
  if (!row.has("prompt")) return read_hh_texts(row, row.text("chosen"), row.text("rejected"), counts);
  const std::string& prompt = row.text("prompt");
  const std::vector<Message> turns = parse_hh_turns(prompt);
  if (turns.empty() || turns.back().role != "assistant" || !is_blank(turns.back().content)) {
    row.fail("\"prompt\" is a dialogue that does not end with \"\\n\\nAssistant:\"",
             "let the prompt end with that marker, or read it as one message with --shape trl-explicit");
  }
  return read_hh_texts(row, prompt + row.text("chosen"), prompt + row.text("rejected"), counts);
}

std::optional<Pair> read_dsp(const Row& row, ReaderCounts& counts) {
  const json& texts = row.get("text", "a list of two texts");
  const json& scores = row.get("score", "a list of two numbers");
  const auto two = [](const json& list, auto is_right) {
    return list.is_array() && list.size() == 2 && is_right(list[0]) && is_right(list[1]);
  };
  if (!two(texts, [](const json& item) { return item.is_string(); }) ||
      !two(scores, [](const json& item) { return item.is_number(); })) {
    row.fail("expected \"text\" with two texts and \"score\" with two numbers");
  }
  const double first = scores[0].get<double>();
  const double second = scores[1].get<double>();
  if (first == second) {
    ++counts.ties;
    return std::nullopt;
  }
  const auto& chosen = texts[first > second ? 0 : 1].get_ref<const std::string&>();
  const auto& rejected = texts[first > second ? 1 : 0].get_ref<const std::string&>();
  std::optional<Pair> pair = looks_like_hh(chosen) && looks_like_hh(rejected)
                                 ? read_hh_texts(row, chosen, rejected, counts)
                                 : read_implicit_texts(chosen, rejected);
  // 1 and 0 only say which one is better, not by how much.
  const bool indicator = std::max(first, second) == 1 && std::min(first, second) == 0;
  if (pair && !indicator) pair->margin = std::max(first, second) - std::min(first, second);
  return pair;
}

std::optional<Pair> read_helpsteer3(const Row& row, ReaderCounts& counts) {
  const bool second = row.has("preference_strength");  // the preference file of HelpSteer2
  const double preference = row.required_number(second ? "preference_strength" : "overall_preference", -3, 3);
  if (preference == 0) {
    ++counts.ties;
    return std::nullopt;
  }
  Pair pair;
  if (row.has_list("context")) {
    pair.prompt.messages = row.messages("context");
  } else {
    pair.prompt.messages = {{"user", row.text(row.has("context") ? "context" : "prompt")}};
  }
  pair.chosen = row.text(second ? "response_2" : "response2");
  pair.rejected = row.text(second ? "response_1" : "response1");
  if (preference < 0) std::swap(pair.chosen, pair.rejected);
  pair.margin = std::abs(preference);
  return pair;
}

Pair read_coala(const Row& row) {
  if (row.has("prompt") == row.has("prefix")) {
    row.fail_columns("a record of coala's own shape has either a prompt or a prefix", "\"prompt\" or \"prefix\"");
  }
  Pair pair;
  pair.prompt = row.has("prefix") ? Prompt{{}, row.text("prefix")} : prompt_column(row);
  pair.chosen = row.text("chosen");
  pair.rejected = row.text("rejected");
  return pair;
}

std::optional<Pair> read_content(const Row& row, Shape shape, ReaderCounts& counts) {
  switch (shape) {
    case Shape::Coala:
      return read_coala(row);
    case Shape::TrlExplicit:
      return read_explicit(row);
    case Shape::TrlImplicit:
      if (row.has_list("chosen") || row.has_list("rejected")) return read_implicit_messages(row);
      return read_implicit_texts(row.text("chosen"), row.text("rejected"));
    case Shape::H4:
      return read_h4(row);
    case Shape::HhRlhf:
      return read_hh(row, counts);
    case Shape::Dsp:
      return read_dsp(row, counts);
    case Shape::HelpSteer3:
      return read_helpsteer3(row, counts);
    case Shape::Auto:
    case Shape::TrlUnpaired:
    case Shape::HelpSteer:
    case Shape::Imdb:
    case Shape::EduFeedback:
    case Shape::ShareGpt:
    case Shape::OpenAiMessages:
      break;
  }
  throw Error(ErrorCode::Internal, fmt::format("{} is not a shape of one pair per record", shape_name(shape)));
}

/// Margin, scores and weight, which every shape may carry. False when the scores leave the pair out.
bool read_strength(const Row& row, Pair& pair, ReaderCounts& counts) {
  if (const std::optional<double> weight = row.number("weight")) {
    if (!(*weight > 0)) row.fail(fmt::format("column \"weight\" is {}; expected a number above 0", *weight));
    pair.weight = weight;
  }
  if (const std::optional<double> margin = row.number("margin")) {
    pair.margin = margin;
    return true;
  }
  const std::optional<double> better = row.number("score_chosen");
  const std::optional<double> worse = row.number("score_rejected");
  if (!better || !worse) return true;
  if (*better == *worse) {
    ++counts.ties;
    return false;
  }
  if (*better < *worse) {
    ++counts.contradictions;
    return false;
  }
  const double margin = *better - *worse;
  if (!std::isfinite(margin)) row.fail("score_chosen - score_rejected is beyond the range of a number");
  pair.margin = margin;
  return true;
}

}  // namespace

std::size_t shared_prefix_length(std::string_view a, std::string_view b) noexcept {
  const std::size_t most = std::min(a.size(), b.size());
  const auto same = static_cast<std::size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(most), b.begin()).first - a.begin());
  // Both texts go on with white space at the split, and the prefix does not end in one.
  const auto starts_space = [&](std::size_t at) { return is_space(a[at]) && is_space(b[at]) && !is_space(a[at - 1]); };
  for (std::size_t at = std::min(same, most > 0 ? most - 1 : 0); at > 0; --at) {
    if (starts_space(at)) return at;
  }
  return 0;
}

std::optional<Pair> read_pair(const Row& row, Shape shape, ReaderCounts& counts) {
  std::optional<Pair> pair = read_content(row, shape, counts);
  if (!pair || !read_strength(row, *pair, counts)) return std::nullopt;
  pair->id = row.id();
  return pair;
}

}  // namespace coala
