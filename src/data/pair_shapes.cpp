#include "data/pair_shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/utf8.h"
#include "data/answers.h"
#include "data/comparison.h"
#include "data/hh_turns.h"
#include "data/oasst.h"
#include "data/prompt_columns.h"
#include "data/ranking.h"

namespace coala {
namespace {

using nlohmann::json;

/// Column names of the two responses.
struct AnswerNames {
  const char* chosen;
  const char* rejected;
};
constexpr std::array<AnswerNames, 11> kAnswerNames{{{"chosen", "rejected"},
                                                    {"chosen_response", "rejected_response"},
                                                    {"response_chosen", "response_rejected"},
                                                    {"chosen_answer", "rejected_answer"},
                                                    {"chosen_messages", "rejected_messages"},
                                                    {"chosen_conversations", "rejected_conversations"},
                                                    {"preferred_output", "non_preferred_output"},
                                                    {"preferred", "dispreferred"},
                                                    {"preferred_response", "dispreferred_response"},
                                                    {"preferred", "rejected"},
                                                    {"response_j", "response_k"}}};

const AnswerNames* answer_names(const Row& row) {
  for (const AnswerNames& names : kAnswerNames) {
    if (row.has_key(names.chosen) && row.has_key(names.rejected)) return &names;
  }
  const AnswerNames& usual = kAnswerNames.front();
  return row.has_key(usual.chosen) || row.has_key(usual.rejected) ? &usual : nullptr;
}

const AnswerNames& required_answer_names(const Row& row) {
  if (const AnswerNames* names = answer_names(row)) return *names;
  row.fail_columns("there are no two responses", "\"chosen\" and \"rejected\"");
}

std::string column_named(const char* column) {
  return fmt::format("column \"{}\"", column);
}

/// Whether one of the responses is null or missing; they count as read.
bool is_null(const Row& row, const char* chosen, const char* rejected) {
  row.mark_read(chosen);
  row.mark_read(rejected);
  return !row.has(chosen) || !row.has(rejected);
}

std::vector<Message> first_turns(const std::vector<Message>& turns, std::size_t count) {
  return {turns.begin(), turns.begin() + static_cast<std::ptrdiff_t>(count)};
}

/// Takes a prompt off that both texts repeat, as language models that continue text give it: one of several words,
/// since answers to "Hi" may begin so by themselves, behind which a word ends. What is indented stays so.
void take_prompt_off(Pair& pair) {
  if (pair.prompt.messages.empty() || pair.prompt.messages.back().role != "user") return;
  const std::string_view prompt = trimmed(pair.prompt.messages.back().content);
  const auto repeats = [&](std::string_view text) {
    return text.size() > prompt.size() && text.starts_with(prompt) && is_space(text[prompt.size()]);
  };
  const bool several_words = std::any_of(prompt.begin(), prompt.end(), is_space);
  if (!several_words || !repeats(pair.chosen) || !repeats(pair.rejected)) return;
  for (std::string* text : {&pair.chosen, &pair.rejected}) {
    const auto begin = static_cast<std::size_t>(
        std::find_if_not(text->begin() + static_cast<std::ptrdiff_t>(prompt.size()), text->end(), is_space) -
        text->begin());
    const std::size_t line = text->rfind('\n', begin);
    text->erase(0, line != text->npos && line >= prompt.size() ? line + 1 : begin);
  }
}

std::vector<Pair> read_explicit(const Row& row, ReaderCounts& counts) {
  const AnswerNames& names = required_answer_names(row);
  const Prompt prompt = read_prompt(row);
  const std::vector<Answer> chosen = read_answers(row, names.chosen);
  const std::vector<Answer> rejected = read_answers(row, names.rejected);
  if (chosen.empty() || rejected.empty()) {
    ++counts.null;
    return {};
  }
  std::vector<Pair> pairs;
  for (const Answer& better : chosen) {
    for (const Answer& worse : rejected) {
      Pair pair;
      pair.prompt = prompt;
      pair.chosen = response_to(row, column_named(names.chosen), better, prompt.messages);
      pair.rejected = response_to(row, column_named(names.rejected), worse, prompt.messages);
      if (better.messages.empty() && worse.messages.empty()) take_prompt_off(pair);
      pairs.push_back(std::move(pair));
    }
  }
  return pairs;
}

Pair read_implicit_texts(std::string_view chosen, std::string_view rejected) {
  const std::size_t shared = shared_prefix_length(chosen, rejected);
  Pair pair;
  pair.prompt.text = chosen.substr(0, shared);
  pair.chosen = chosen.substr(shared);
  pair.rejected = rejected.substr(shared);
  return pair;
}

Pair read_implicit_messages(const Row& row, const AnswerNames& names, const Answer& better, const Answer& worse) {
  const std::vector<Message>& chosen = better.messages;
  const std::vector<Message>& rejected = worse.messages;
  const std::size_t shared = count_shared_turns(chosen, rejected);
  Pair pair;
  pair.chosen = final_response(row, column_named(names.chosen), chosen, shared);
  pair.rejected = final_response(row, column_named(names.rejected), rejected, shared);
  pair.prompt.messages = first_turns(chosen, shared);
  return pair;
}

std::vector<Pair> read_implicit(const Row& row, ReaderCounts& counts) {
  const AnswerNames& names = required_answer_names(row);
  const std::vector<Answer> chosen = read_answers(row, names.chosen);
  const std::vector<Answer> rejected = read_answers(row, names.rejected);
  if (chosen.empty() || rejected.empty()) {
    std::vector<Message> nothing;
    add_system(row, nothing);
    ++counts.null;
    return {};
  }
  if (chosen.size() > 1 && rejected.size() > 1) {
    row.fail(fmt::format("\"{}\" and \"{}\" hold {} and {} answers, and there is no prompt that all of them answer",
                         names.chosen, names.rejected, chosen.size(), rejected.size()),
             "write a record for each pair; a table by columns is known by its column \"prompt\"");
  }
  std::vector<Pair> pairs;
  for (const Answer& better : chosen) {
    for (const Answer& worse : rejected) {
      if (better.messages.empty() && worse.messages.empty()) {
        pairs.push_back(read_implicit_texts(better.text, worse.text));
      } else {
        pairs.push_back(read_implicit_messages(row, names, better, worse));
        add_system(row, pairs.back().prompt.messages);
      }
    }
  }
  return pairs;
}

std::vector<Pair> read_h4(const Row& row, ReaderCounts& counts) {
  const char* column = prompt_text_column(row);
  if (column == nullptr) row.fail_columns("there is no column \"prompt\"", "\"prompt\" with a text");
  std::vector<Pair> pairs = read_implicit(row, counts);
  const std::string& prompt = row.text(column);
  for (Pair& pair : pairs) {
    std::vector<Message>& head = pair.prompt.messages;
    const auto is_user = [](const Message& message) { return message.role == "user"; };
    if (std::none_of(head.begin(), head.end(), is_user)) {
      std::vector<Message> asked = read_prompt(row).messages;
      if (!head.empty() && !asked.empty() && asked.front().role == "system") asked.erase(asked.begin());
      head.insert(head.end(), asked.begin(), asked.end());
      continue;
    }
    // The lists repeat the prompt (some files trim it on one side only); of a longer dialogue it is one of the turns.
    const auto repeats = [&](const Message& message) {
      return is_user(message) && trimmed(message.content) == trimmed(prompt);
    };
    if (std::none_of(head.begin(), head.end(), repeats)) {
      row.fail(fmt::format("\"{}\" is {}, but the messages that \"chosen\" and \"rejected\" share ask something else",
                           column, quoted_text(prompt)),
               fmt::format("remove the column \"{}\" if the message lists are right", column));
    }
  }
  return pairs;
}

/// Conversations whose last answer is the better one, and a worse one beside them (ms-swift, OpenPipe).
std::vector<Pair> read_messages_pair(const Row& row, ReaderCounts& counts) {
  const char* rejected_column = rejected_beside_messages(row);
  const char* list = conversation_column(row);
  if (rejected_column == nullptr || list == nullptr) {
    row.fail_columns("there is no conversation with a worse answer beside it",
                     "\"messages\" and \"rejected_response\" (or rejected_messages, rejected_message)");
  }
  std::vector<Message> messages = row.messages(list);
  if (messages.back().role != "assistant") {
    row.fail(fmt::format("column \"{}\" ends with a message of the {}; expected the better answer, by the assistant",
                         list, messages.back().role));
  }
  Pair pair;
  pair.chosen = std::move(messages.back().content);
  messages.pop_back();
  add_system(row, messages);
  const std::vector<Answer> rejected = read_answers(row, rejected_column);
  if (rejected.empty()) {
    ++counts.null;
    return {};
  }
  std::vector<Pair> pairs;
  for (const Answer& worse : rejected) {
    pair.prompt.messages = messages;
    pair.rejected = response_to(row, column_named(rejected_column), worse, messages);
    pairs.push_back(pair);
  }
  return pairs;
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

/// Question and answer, and not an answer that merely begins with "Human:".
bool is_whole_dialogue(std::string_view text) {
  return trimmed(text).starts_with("Human:") && text.find("\n\nAssistant:") != text.npos;
}

/// Whether a dialogue has the last question of a prompt in it, which may be a dialogue or the question alone.
bool asks(std::string_view dialogue, std::string_view prompt) {
  const auto words_of = [](std::string_view text) {
    std::string words;
    for (const char c : trimmed(text)) {
      if (!is_space(c)) {
        words += c;
      } else if (words.back() != ' ') {
        words += ' ';
      }
    }
    return words;
  };
  std::string question = words_of(prompt);
  for (const Message& turn : parse_hh_turns(prompt)) {
    if (turn.role == "user") question = words_of(turn.content);
  }
  const std::vector<Message> turns = parse_hh_turns(dialogue);
  return std::any_of(turns.begin(), turns.end(),
                     [&](const Message& turn) { return turn.role == "user" && words_of(turn.content) == question; });
}

std::optional<Pair> read_hh(const Row& row, ReaderCounts& counts) {
  const AnswerNames& names = required_answer_names(row);
  if (is_null(row, names.chosen, names.rejected)) {
    row.mark_read("prompt");
    ++counts.null;
    return std::nullopt;
  }
  const std::string& chosen = row.text(names.chosen);
  const std::string& rejected = row.text(names.rejected);
  if (!row.has("prompt")) return read_hh_texts(row, chosen, rejected, counts);
  const std::string& prompt = row.text("prompt");
  const std::string_view start = trimmed(prompt);
  if (trimmed(chosen).starts_with(start) && trimmed(rejected).starts_with(start)) {  // the whole dialogues
    return read_hh_texts(row, chosen, rejected, counts);
  }
  if (is_whole_dialogue(chosen) && is_whole_dialogue(rejected)) {
    if (asks(chosen, prompt) && asks(rejected, prompt)) return read_hh_texts(row, chosen, rejected, counts);
    row.fail("\"prompt\" is neither where the two dialogues begin nor a question in them",
             "--ignore-columns prompt if the dialogues are whole");
  }
  const std::vector<Message> turns = parse_hh_turns(prompt);
  if (turns.empty() || turns.back().role != "assistant" || !is_blank(turns.back().content)) {
    row.fail("\"prompt\" is a dialogue that does not end with \"\\n\\nAssistant:\"",
             "let the prompt end with that marker, or read it as one message with --shape trl-explicit");
  }
  return read_hh_texts(row, prompt + chosen, prompt + rejected, counts);
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
  // What single annotators said; the preference is made of it.
  row.mark_read("individual_preference");
  row.mark_read("all_preferences_unprocessed");
  const double preference = row.required_number(second ? "preference_strength" : "overall_preference", -3, 3);
  Pair pair;
  pair.prompt = read_prompt(row);
  if (pair.prompt.messages.empty()) row.fail_columns("there is no prompt", "\"context\" or \"prompt\"");
  pair.chosen = row.text(second ? "response_2" : "response2");
  pair.rejected = row.text(second ? "response_1" : "response1");
  if (preference == 0) {
    ++counts.ties;
    return std::nullopt;
  }
  if (preference < 0) std::swap(pair.chosen, pair.rejected);
  pair.margin = std::abs(preference);
  return pair;
}

std::optional<Pair> read_coala(const Row& row, ReaderCounts& counts) {
  if (row.has("prompt") == row.has("prefix")) {
    row.fail_columns("a record of coala's own shape has either a prompt or a prefix", "\"prompt\" or \"prefix\"");
  }
  Pair pair;
  pair.prompt = row.has("prefix") ? Prompt{{}, row.text("prefix")} : read_prompt(row);
  if (is_null(row, "chosen", "rejected")) {
    ++counts.null;
    return std::nullopt;
  }
  pair.chosen = row.text("chosen");
  pair.rejected = row.text("rejected");
  return pair;
}

std::vector<Pair> in_list(std::optional<Pair> pair) {
  std::vector<Pair> pairs;
  if (pair) pairs.push_back(std::move(*pair));
  return pairs;
}

std::vector<Pair> read_content(const Row& row, Shape shape, Rankings rankings, ReaderCounts& counts) {
  switch (shape) {
    case Shape::Coala:
      return in_list(read_coala(row, counts));
    case Shape::TrlExplicit:
      return read_explicit(row, counts);
    case Shape::TrlImplicit:
      return read_implicit(row, counts);
    case Shape::H4:
      return read_h4(row, counts);
    case Shape::HhRlhf:
      return in_list(read_hh(row, counts));
    case Shape::MessagesPair:
      return read_messages_pair(row, counts);
    case Shape::Dsp:
      return in_list(read_dsp(row, counts));
    case Shape::HelpSteer3:
      return in_list(read_helpsteer3(row, counts));
    case Shape::TwoAnswers:
      return in_list(read_comparison(row, counts));
    case Shape::Ranking:
      return read_ranking(row, rankings, counts);
    case Shape::OasstTree:
      return read_oasst_tree(row, rankings, counts);
    case Shape::Auto:
    case Shape::TrlUnpaired:
    case Shape::Unjudged:
    case Shape::HelpSteer:
    case Shape::Imdb:
    case Shape::Oasst:
    case Shape::EduFeedback:
    case Shape::ShareGpt:
    case Shape::OpenAiMessages:
      break;
  }
  throw Error(ErrorCode::Internal, fmt::format("{} is not a shape of pairs", shape_name(shape)));
}

/// The scores of the two responses, under one of their names, or as a list of both, the better one's being the higher.
std::optional<std::pair<double, double>> scores_of(const Row& row) {
  for (const auto& [better, worse] : {std::pair{"score_chosen", "score_rejected"},
                                      {"chosen_score", "rejected_score"},
                                      {"chosen-rating", "rejected-rating"},
                                      {"chosen_rating", "rejected_rating"},
                                      {"rating_chosen", "rating_rejected"},
                                      {"chosen_reward", "rejected_reward"},
                                      {"chosen_avg_rating", "rejected_avg_rating"}}) {
    const std::optional<double> a = row.number(better);
    const std::optional<double> b = row.number(worse);
    if (a && b) return std::pair(*a, *b);
  }
  if (!row.has_list("rating")) return std::nullopt;
  const json& both = row.object().at("rating");
  if (both.size() != 2 || !both[0].is_number() || !both[1].is_number()) return std::nullopt;
  row.mark_read("rating");
  const double a = both[0].get<double>();
  const double b = both[1].get<double>();
  return std::pair(std::max(a, b), std::min(a, b));
}

/// How much a record's preference counts and by how much; every shape may say it.
struct Strength {
  std::optional<double> weight;
  std::optional<double> margin;
  std::optional<std::pair<double, double>> scores;  ///< of the better and the worse response
};

Strength read_strength(const Row& row) {
  Strength strength{row.number("weight"), row.number("margin"), scores_of(row)};
  if (strength.weight && *strength.weight < 0) {
    row.fail(fmt::format("column \"weight\" is {}; expected 0 or more", *strength.weight));
  }
  return strength;
}

/// False when the strength leaves the pair out.
bool apply(const Strength& strength, const Row& row, Pair& pair, ReaderCounts& counts) {
  if (strength.weight == 0) {
    ++counts.weightless;
    return false;
  }
  if (strength.weight) pair.weight = strength.weight;
  if (strength.margin) pair.margin = strength.margin;
  if (strength.margin || !strength.scores) return true;
  const auto& [better, worse] = *strength.scores;
  if (better == worse) {
    ++counts.ties;
    return false;
  }
  if (better < worse) {
    ++counts.contradictions;
    return false;
  }
  if (!std::isfinite(better - worse)) row.fail("score_chosen - score_rejected is beyond the range of a number");
  pair.margin = better - worse;
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

bool has_two_answers(const Row& row) {
  return answer_names(row) != nullptr;
}

const char* rejected_beside_messages(const Row& row) {
  for (const char* column : {"rejected_response", "rejected_messages", "rejected_message"}) {
    if (row.has_key(column) && !row.has_key("chosen_response") && !row.has_key("chosen_messages")) return column;
  }
  return nullptr;
}

bool is_hh_pair(const Row& row) {
  const AnswerNames* names = answer_names(row);
  if (names == nullptr || row.has_list(names->chosen) || row.has_list(names->rejected)) return false;
  const auto is_dialogue = [&](const char* column) {
    return row.has_text(column) && looks_like_hh(row.object().at(column).get_ref<const std::string&>());
  };
  // Two whole dialogues are no answers to the text of a prompt; what else the record holds is then not their beginning.
  constexpr std::array kLists{"prompt", "messages", "conversations", "conversation", "context", "history", "dialogue"};
  const bool has_turns = row.has_key("prefix") || std::any_of(kLists.begin(), kLists.end(),
                                                              [&](const char* name) { return row.has_list(name); });
  const auto is_whole = [&](const char* column) {
    return row.has_text(column) && is_whole_dialogue(row.object().at(column).get_ref<const std::string&>());
  };
  if (!has_turns && is_whole(names->chosen) && is_whole(names->rejected)) return true;
  if (row.has_text("prompt")) return is_hh_dialogue(row.object().at("prompt").get_ref<const std::string&>());
  return !has_prompt(row) && is_dialogue(names->chosen);
}

bool has_message_answers(const Row& row) {
  const AnswerNames* names = answer_names(row);
  return names != nullptr && row.has_list(names->chosen) && row.has_messages(names->chosen);
}

std::vector<Pair> read_pairs(const Row& row, Shape shape, Rankings rankings, ReaderCounts& counts) {
  std::vector<Pair> pairs = read_content(row, shape, rankings, counts);
  const Strength strength = read_strength(row);
  std::vector<Pair> kept;
  for (Pair& pair : pairs) {
    if (!apply(strength, row, pair, counts)) continue;
    pair.id = pairs.size() == 1 ? row.id() : fmt::format("{}.{}", row.id(), &pair - pairs.data() + 1);
    kept.push_back(std::move(pair));
  }
  return kept;
}

}  // namespace coala
