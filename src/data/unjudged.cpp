#include "data/unjudged.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <string>
#include <utility>

#include "data/answers.h"
#include "data/json_values.h"
#include "data/labelled_shapes.h"
#include "data/prompt_columns.h"
#include "data/unread_columns.h"

namespace coala {
namespace {

constexpr std::array kAnswers{"response", "responses", "completion", "completions", "answer",     "answers", "output",
                              "outputs",  "reply",     "replies",    "generations", "generation", "text"};

/// What `coala generate`, `coala sample` and `coala score` say of an answer beside it. `response` is which of a pair's
/// answers it is.
constexpr std::array kOfReplies{"tokens",
                                "finish",
                                "log_probability",
                                "log_probability_tokens",
                                "entropy",
                                "divergence",
                                "reasoning",
                                "score",
                                "seed",
                                "probability",
                                "candidate",
                                "sample",
                                "settings",
                                "instruction",
                                "rank",
                                "margin",
                                "response",
                                "candidates"};

/// One with something in it, else one that is null.
const char* answer_column(const Row& row) {
  if (is_reply(row)) return "text";
  for (const char* column : kAnswers) {
    if (row.has(column)) return column;
  }
  for (const char* column : kAnswers) {
    if (row.has_key(column)) return column;
  }
  return nullptr;
}

bool ends_with_answer(const Row& row) {
  const char* conversation = conversation_column(row);
  return conversation != nullptr && row.ends_with_answer(conversation);
}

}  // namespace

bool is_reply(const Row& row) {
  if (!row.has_text("text")) return false;
  return row.has_number("log_probability") || (row.has_number("score") && row.has_number("probability"));
}

bool holds_unjudged(const Row& row) {
  return answer_column(row) != nullptr || ends_with_answer(row);
}

void refuse_unjudged(const Row& row) {
  if (!holds_unjudged(row)) return;
  const std::string problem = "these are answers that nobody has compared or judged";
  const std::string data = row.file() == "/dev/stdin" ? "REPLIES" : row.file();
  const std::string remedy = fmt::format(
      "coala choose --data {0} --out pairs.jsonl makes pairs of them; coala score --head HEAD --data {0} tells what a "
      "head makes of each",
      data);
  if (is_reply(row)) row.fail(problem, remedy);
  for (const auto& [column, value] : row.object().items()) {
    if (!is_empty(value) && remembered_meaning(column) == ColumnMeaning::Judges) return;
  }
  // A judgement may stand under a name that is not known.
  row.fail_columns(problem, "a label, ratings or ranks, or what --columns names as such; else " + remedy);
}

bool has_answer_column(const Row& row) {
  const char* column = answer_column(row);
  return column != nullptr && row.has(column);
}

std::vector<Labelled> read_unjudged(const Row& row, LeftOutCounts& counts) {
  std::vector<Labelled> found;
  const char* column = answer_column(row);
  if (ends_with_answer(row) && (column == nullptr || !row.has(column))) {
    found.push_back(read_last_answer(row, conversation_column(row)));
  } else if (column == nullptr) {
    row.fail_columns("there is no answer", fmt::format("{}, or messages that end with one", fmt::join(kAnswers, ", ")));
  } else {
    const Prompt prompt = read_prompt_or_prefix(row);
    for (const Answer& answer : read_answers(row, column)) {
      Labelled labelled;
      labelled.prompt = prompt;
      labelled.response = response_to(row, fmt::format("column \"{}\"", column), answer, prompt.messages);
      found.push_back(std::move(labelled));
    }
    if (found.empty()) ++counts.null;
  }
  for (std::size_t k = 0; k < found.size(); ++k) {
    found[k].id = found.size() == 1 ? row.id() : fmt::format("{}.{}", row.id(), k + 1);
  }
  if (is_reply(row)) {
    for (const char* said : kOfReplies) row.mark_read(said);
  }
  return found;
}

}  // namespace coala
