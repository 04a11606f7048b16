#include "data/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "core/utf8.h"
#include "data/answers.h"
#include "data/prompt_columns.h"

namespace coala {
namespace {

using nlohmann::json;

constexpr std::array kStems{"response", "answer", "output",  "completion", "human_ref", "conversation",
                            "text",     "reply",  "summary", "generation", "candidate", "assistant"};
constexpr std::array<std::pair<const char*, const char*>, 8> kEndings{
    {{"_0", "_1"}, {"_1", "_2"}, {"_a", "_b"}, {"_A", "_B"}, {"0", "1"}, {"1", "2"}, {"A", "B"}, {"_left", "_right"}}};
constexpr std::array kVerdicts{
    "better_response_id", "preference", "preferred", "winner", "choice", "labels", "label", "better", "chosen",
    "overall_preference"};

struct Names {
  std::string first, second;
  std::string first_ending, second_ending;
};

std::optional<Names> names_of(const Row& row) {
  for (const char* stem : kStems) {
    for (const auto& [first, second] : kEndings) {
      Names names{std::string(stem) + first, std::string(stem) + second, first, second};
      if (row.has_key(names.first.c_str()) && row.has_key(names.second.c_str())) return names;
    }
  }
  return std::nullopt;
}

/// Which response is better: -1 for the first, 1 for the second, 0 for a tie.
struct Verdict {
  int sign = 0;
  std::optional<double> margin;
};

std::string letters_of(std::string_view text) {
  std::string letters;
  for (const char c : text) {
    if (is_letter_or_digit(c)) letters += lower_case(c);
  }
  return letters;
}

/// "model_a", "A", "response_0", "tie (bothbad)", ...
std::optional<int> verdict_of_name(const Names& names, const std::string& text) {
  const std::string verdict = letters_of(text);
  for (const char* tie : {"tie", "tiebothbad", "bothbad", "both", "neither", "equal", "same", "draw", "none"}) {
    if (verdict == tie) return 0;
  }
  for (const auto& [column, ending, sign] :
       {std::tuple{names.first, names.first_ending, -1}, std::tuple{names.second, names.second_ending, 1}}) {
    const std::string end = letters_of(ending);
    if (verdict == end || verdict == letters_of(column) || verdict == "model" + end || verdict == "assistant" + end ||
        verdict == "response" + end) {
      return sign;
    }
  }
  return std::nullopt;
}

/// 0 or 1, or 1 or 2, as the columns are counted.
std::optional<int> verdict_of_number(const Names& names, double value) {
  const std::string first = letters_of(names.first_ending);
  const std::string second = letters_of(names.second_ending);
  if (fmt::format("{}", value) == first) return -1;
  if (fmt::format("{}", value) == second) return 1;
  return std::nullopt;
}

std::optional<Verdict> verdict_by_scores(const Row& row, const Names& names) {
  for (const char* stem : {"score", "rating", "reward"}) {
    const std::string first = stem + names.first_ending;
    const std::string second = stem + names.second_ending;
    if (!row.has_number(first.c_str()) || !row.has_number(second.c_str())) continue;
    const double difference = *row.number(second.c_str()) - *row.number(first.c_str());
    const int sign = difference > 0 ? 1 : difference < 0 ? -1 : 0;
    return Verdict{sign, std::abs(difference)};
  }
  return std::nullopt;
}

/// winner_model_a, winner_model_b, winner_tie: 1 for the one that holds.
std::optional<Verdict> verdict_by_flags(const Row& row) {
  if (!row.has("winner_model_a") || !row.has("winner_model_b")) return std::nullopt;
  row.mark_read("winner_tie");
  const bool first = *row.number("winner_model_a") == 1;
  const bool second = *row.number("winner_model_b") == 1;
  return Verdict{first == second ? 0 : first ? -1 : 1, std::nullopt};
}

std::optional<Verdict> find_verdict(const Row& row, const Names& names) {
  if (auto flags = verdict_by_flags(row)) return flags;
  const bool votes = names.first == "human_ref_A";  // SHP: 1 says that A is better, 0 that B is; scores are votes
  std::optional<Verdict> scores = verdict_by_scores(row, names);
  for (const char* column : kVerdicts) {
    if (!row.has(column)) continue;
    const json& value = row.get(column);
    std::optional<int> sign;
    if (votes && value.is_number()) {
      if (value == 1 || value == 0) sign = value == 1 ? -1 : 1;
    } else if (value.is_string()) {
      sign = verdict_of_name(names, value.get_ref<const std::string&>());
    } else if (value.is_number()) {
      sign = verdict_of_number(names, value.get<double>());
    }
    if (!sign) {
      row.fail(fmt::format("column \"{}\" is {}, which does not say whether \"{}\" or \"{}\" is better", column,
                           quoted_text(value.dump(), 40), names.first, names.second));
    }
    return Verdict{*sign, std::nullopt};
  }
  return scores;
}

/// The turns of a list of texts that is written as a text (the Arena's files). @throws as Row::fail
std::vector<std::string> turns_in(const Row& row, const std::string& text) {
  const json list = json::parse(trimmed(text), nullptr, /*allow_exceptions=*/false);
  if (!list.is_array()) {
    row.fail(fmt::format("{} begins like a list of texts and cannot be read as one", quoted_text(text, 40)));
  }
  std::vector<std::string> turns;
  for (const json& item : list) turns.push_back(item.is_string() ? item.get<std::string>() : "");
  return turns;
}

/// Whether prompt and answers are such lists: an answer by itself may well be one.
bool are_lists(const Pair& pair) {
  if (pair.prompt.messages.empty()) return false;
  const auto begins = [](std::string_view text, std::string_view with) { return trimmed(text).starts_with(with); };
  return begins(pair.prompt.messages.back().content, "[\"") && begins(pair.chosen, "[") && begins(pair.rejected, "[");
}

/// A conversation up to and with the answer that a column "turn" gives the number of (MT-Bench's judgments: the second
/// answers are there too when the first ones were judged); whole without such a number.
std::vector<Message> until_turn(const Row& row, std::vector<Message> messages) {
  if (!row.has("turn")) return messages;
  const json& turn = row.get("turn");
  if (!turn.is_number_unsigned() || turn == 0) return messages;
  auto left = turn.get<std::uint64_t>();
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role == "assistant" && --left == 0) messages.resize(i + 1);
  }
  return messages;
}

Pair read_pair_of(const Row& row, const Names& names, ReaderCounts& counts, bool& left_out) {
  Pair pair;
  pair.prompt = read_prompt(row);
  const std::vector<Answer> first = read_answers(row, names.first.c_str());
  const std::vector<Answer> second = read_answers(row, names.second.c_str());
  left_out = first.size() != 1 || second.size() != 1;
  if (left_out) {
    ++counts.null;
    return pair;
  }
  const std::string where = fmt::format("column \"{}\"", names.first);
  if (!first[0].messages.empty() && pair.prompt.messages.empty()) {  // whole conversations
    const std::vector<Message> one = until_turn(row, first[0].messages);
    const std::vector<Message> other = until_turn(row, second[0].messages);
    const std::size_t shared = count_shared_turns(one, other);
    if (one.size() != shared + 1 || other.size() != shared + 1) {
      ++counts.no_shared_prompt;
      left_out = true;
      return pair;
    }
    pair.prompt.messages.assign(one.begin(), one.end() - 1);
    pair.chosen = final_response(row, where, one, shared);
    pair.rejected = final_response(row, fmt::format("column \"{}\"", names.second), other, shared);
    return pair;
  }
  pair.chosen = response_to(row, where, first[0], pair.prompt.messages);
  pair.rejected = response_to(row, fmt::format("column \"{}\"", names.second), second[0], pair.prompt.messages);
  if (!are_lists(pair)) return pair;
  std::string& asked = pair.prompt.messages.back().content;
  const std::vector<std::string> questions = turns_in(row, asked);
  const std::vector<std::string> a = turns_in(row, pair.chosen);
  const std::vector<std::string> b = turns_in(row, pair.rejected);
  if (questions.size() == 1 && a.size() == 1 && b.size() == 1) {
    asked = questions.front();
    pair.chosen = a.front();
    pair.rejected = b.front();
    return pair;
  }
  ++counts.no_shared_prompt;  // each side has answered, and been asked, in a dialogue of its own
  left_out = true;
  return pair;
}

/// Two summaries of a post (OpenAI's summarize from feedback), asked for as its code does.
std::optional<Pair> read_summaries(const Row& row, ReaderCounts& counts) {
  const json& info = row.get("info", "a post");
  const auto text = [&](const char* name) -> std::string {
    const auto found = info.is_object() ? info.find(name) : info.end();
    return info.is_object() && found != info.end() && found->is_string() ? found->get<std::string>() : "";
  };
  const json& summaries = row.get("summaries", "two summaries");
  const double choice = row.required_number("choice", 0, 1);
  if (!summaries.is_array() || summaries.size() != 2 || (choice != 0 && choice != 1)) {
    row.fail("expected two \"summaries\" and a \"choice\" of 0 or 1");
  }
  const std::string article = text("article");
  std::string asked = article.empty() ? fmt::format("SUBREDDIT: r/{}\nTITLE: {}\nPOST: {}", text("subreddit"),
                                                    text("title"), text("post"))
                                      : fmt::format("TITLE: {}\nARTICLE: {}", text("title"), article);
  Pair pair;
  pair.prompt.messages = {{"user", asked + "\nTL;DR:"}};
  const std::vector<Answer> answers = answers_of(row, summaries, "column \"summaries\"");
  if (answers.size() != 2) {
    ++counts.null;
    return std::nullopt;
  }
  const std::size_t better = choice == 0 ? 0 : 1;
  pair.chosen = answers[better].text;
  pair.rejected = answers[1 - better].text;
  row.mark_read("extra");
  return pair;
}

bool is_summaries(const Row& row) {
  return row.has_object("info") && row.has_list("summaries") && row.has("choice");
}

}  // namespace

bool is_comparison(const Row& row) {
  if (is_summaries(row)) return true;
  const std::optional<Names> names = names_of(row);
  if (!names) return false;
  const auto has = [&](const char* column) { return row.has(column); };
  const auto scored = [&](const char* stem) {
    return row.has_number((stem + names->first_ending).c_str()) &&
           row.has_number((stem + names->second_ending).c_str());
  };
  return std::any_of(kVerdicts.begin(), kVerdicts.end(), has) || row.has("winner_model_a") || scored("score") ||
         scored("rating") || scored("reward");
}

std::optional<Pair> read_comparison(const Row& row, ReaderCounts& counts) {
  if (is_summaries(row)) return read_summaries(row, counts);
  const std::optional<Names> names = names_of(row);
  if (!names) row.fail_columns("there are no two responses", "response_a and response_b, answer_0 and answer_1, ...");
  const std::optional<Verdict> verdict = find_verdict(row, *names);
  if (!verdict)
    row.fail_columns("nothing says which response is better", fmt::format("one of {}", fmt::join(kVerdicts, ", ")));
  // What is said of single responses: safety (PKU-SafeRLHF), sources (WebGPT), votes (SHP).
  for (const std::string& ending : {names->first_ending, names->second_ending}) {
    for (const char* stem : {"score", "rating", "reward", "quotes", "tokens"}) row.mark_read(stem + ending);
    row.mark_read("is_response" + ending + "_safe");
  }
  row.mark_read("safer_response_id");
  bool left_out = false;
  Pair pair = read_pair_of(row, *names, counts, left_out);
  if (left_out) return std::nullopt;
  if (verdict->sign == 0) {
    ++counts.ties;
    return std::nullopt;
  }
  if (verdict->sign > 0) std::swap(pair.chosen, pair.rejected);
  pair.margin = verdict->margin;
  return pair;
}

}  // namespace coala
