#include "data/unjudged.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <utility>

#include "data/answers.h"
#include "data/labelled_shapes.h"
#include "data/prompt_columns.h"

namespace coala {
namespace {

constexpr std::array kAnswers{"response", "responses", "completion", "completions", "answer",     "answers", "output",
                              "outputs",  "reply",     "replies",    "generations", "generation", "text"};

/// What `coala generate` and `coala sample` say of a reply beside it.
constexpr std::array kOfReplies{"tokens",   "finish",      "log_probability", "log_probability_tokens",
                                "entropy",  "divergence",  "reasoning",       "score",
                                "seed",     "probability", "candidate",       "sample",
                                "settings", "instruction"};

/// One with something in it, else one that is null.
const char* answer_column(const Row& row) {
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

bool holds_unjudged(const Row& row) {
  return answer_column(row) != nullptr || ends_with_answer(row);
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
  if (row.has("log_probability")) {
    for (const char* said : kOfReplies) row.mark_read(said);
  }
  return found;
}

}  // namespace coala
