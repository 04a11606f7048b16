#include "data/labelled_shapes.h"

#include <fmt/format.h>

#include <array>

#include "core/error.h"
#include "core/utf8.h"
#include "data/answers.h"
#include "data/prompt_columns.h"
#include "data/unread_columns.h"

namespace coala {
namespace {

constexpr std::array kLabels{"label", "kto_tag", "is_safe", "desirable", "is_desirable", "thumbs_up"};
constexpr std::array kResponses{"completion", "response", "output", "answer", "reply", "generation"};

const char* response_column(const Row& row) {
  for (const char* column : kResponses) {
    if (row.has_key(column)) return column;
  }
  return nullptr;
}

/// Good or bad by a name; nothing for one that says neither.
std::optional<int> label_of_name(std::string_view name) {
  for (const char* good :
       {"true", "1", "good", "yes", "desirable", "chosen", "positive", "safe", "thumbs_up", "up", "pos"}) {
    if (name == good) return 1;
  }
  for (const char* bad : {"false", "0", "-1", "bad", "no", "undesirable", "rejected", "negative", "unsafe",
                          "thumbs_down", "down", "neg"}) {
    if (name == bad) return -1;
  }
  return std::nullopt;
}

/// @param bad  how the shape writes "bad": 0 or -1
int read_label(const Row& row, int bad) {
  const char* column = label_column(row);
  if (column == nullptr) row.fail_columns("there is no label", "\"label\" with true or false");
  const nlohmann::json& label = row.get(column, "a label");
  if (const std::string& good = row.columns().label_true; !good.empty()) {
    const std::string found = label.is_string() ? label.get<std::string>() : label.dump();
    return found == good ? 1 : -1;
  }
  if (label.is_boolean()) return label.get<bool>() ? 1 : -1;
  if (label.is_string()) {
    const std::string& text = label.get_ref<const std::string&>();
    if (const std::optional<int> named = label_of_name(lower_case(trimmed(text)))) return *named;
    row.fail(fmt::format("column \"{}\" is {}; expected true or false", column, quoted_text(text, 40)),
             "--label-true VALUE names the one that means good");
  }
  const double value = row.required_number(column, -1, 1);
  if (value == 1) return 1;
  if (value == bad) return -1;
  if (value == -1) {
    row.fail("the label is -1, which means unlabelled in this shape (good is 1, bad is 0)",
             "use the labelled part of the data; for labels of -1 and 1 call the text \"response\"");
  }
  row.fail(fmt::format("the label is {}; expected {} (bad) or 1 (good)", value, bad),
           "--label-true VALUE names the one that means good");
}

/// The response in a column of its own, or at the end of a conversation. Nothing when it is null.
std::optional<Labelled> read_response(const Row& row) {
  Labelled labelled;
  const char* column = response_column(row);
  if (column == nullptr) {
    const char* list = conversation_column(row);
    if (list == nullptr)
      row.fail_columns("there is no response", fmt::format("{}, or messages", fmt::join(kResponses, ", ")));
    return read_last_answer(row, list);
  }
  labelled.prompt = read_prompt_or_prefix(row);
  const std::vector<Answer> answers = read_answers(row, column);
  if (answers.empty() || has_null_prompt(row)) return std::nullopt;
  if (answers.size() > 1) row.fail(fmt::format("column \"{}\" has {} responses; expected one", column, answers.size()));
  const Answer& answer = answers.front();
  std::vector<Message>& prompt = labelled.prompt.messages;
  const std::string where = fmt::format("column \"{}\"", column);
  if (answer.messages.size() > 1 && prompt.empty()) {  // a completion that holds its prompt
    labelled.response = final_response(row, where, answer.messages, answer.messages.size() - 1);
    prompt.assign(answer.messages.begin(), answer.messages.end() - 1);
    add_system(row, prompt);
  } else {
    labelled.response = response_to(row, where, answer, prompt);
  }
  return labelled;
}

}  // namespace

Labelled read_last_answer(const Row& row, const char* list) {
  Labelled labelled;
  std::vector<Message>& messages = labelled.prompt.messages;
  messages = row.messages(list);
  if (messages.back().role != "assistant") {
    row.fail(fmt::format("column \"{}\" ends with a message of the {}; expected the response, by the assistant", list,
                         messages.back().role));
  }
  labelled.response = std::move(messages.back().content);
  messages.pop_back();
  add_system(row, messages);
  return labelled;
}

const char* label_column(const Row& row) {
  for (const char* column : kLabels) {
    if (row.has(column)) return column;
  }
  for (const char* column : kLabels) {
    if (row.has_key(column)) return column;
  }
  return nullptr;
}

bool holds_labelled_response(const Row& row) {
  return response_column(row) != nullptr || conversation_column(row) != nullptr;
}

std::optional<Labelled> read_labelled(const Row& row, Shape shape, ReaderCounts& counts) {
  std::optional<Labelled> labelled;
  if (shape == Shape::Imdb) {
    labelled = Labelled{{}, {}, row.text("text"), read_label(row, 0)};
  } else if (shape == Shape::TrlUnpaired || shape == Shape::Coala) {
    labelled = read_response(row);
    if (!labelled) {
      ++counts.null;
      return std::nullopt;
    }
    labelled->label = read_label(row, shape == Shape::Coala ? -1 : 0);
  } else {
    throw Error(ErrorCode::Internal, fmt::format("{} is not a shape of labelled responses", shape_name(shape)));
  }
  labelled->id = row.id();
  for (const auto& [column, value] : row.object().items()) {
    const bool grade = value.is_number() || value.is_boolean();
    if (grade && remembered_meaning(column) == ColumnMeaning::Judges) row.mark_read(column);  // the label has decided
  }
  return labelled;
}

}  // namespace coala
