#include "data/prompt_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "core/error.h"
#include "data/byte_source.h"
#include "data/prompt_columns.h"
#include "data/row.h"
#include "data/row_source.h"
#include "data/unjudged.h"

namespace coala {
namespace {

/// Columns that hold or judge a response, beside those of answers: a record with one of these is no bare prompt.
constexpr std::array kResponseColumns{"chosen",     "rejected", "response1", "response_1",        "label",
                                      "utterances", "score",    "kto_tag",   "rejected_response", "overall_preference"};

void check_unread(const Row& row, const Prompt& prompt) {
  std::vector<std::string_view> said{prompt.text};
  for (const Message& message : prompt.messages) said.emplace_back(message.content);
  row.check_unread(said, true, true);
}

/// The prompt of a record that holds nothing else; nothing when the record is of another kind.
std::optional<Prompt> bare_prompt(const Row& row) {
  if (has_answer_column(row)) return std::nullopt;
  if (std::ranges::any_of(kResponseColumns, [&](const char* column) { return row.has(column); })) return std::nullopt;
  const bool asks = has_prompt(row);
  if (asks && row.has("prefix")) row.fail("it has both a prompt and a prefix; expected one of them");
  if (row.has("prefix")) {
    Prompt prompt{{}, row.text("prefix")};
    check_unread(row, prompt);
    return prompt;
  }
  if (!asks) return std::nullopt;
  Prompt prompt = read_prompt(row);
  row.mark_read("id");
  check_unread(row, prompt);
  return prompt;
}

/// Nothing when the first record is no bare prompt.
/// @param answered  it has an answer in a column of its own
std::optional<std::vector<PromptRecord>> read_bare_prompts(const DataFiles& data, bool& answered) {
  RowSource rows(data.paths, data.reader.columns, data.reader.max_record_bytes);
  std::vector<PromptRecord> prompts;
  while (const std::optional<Row> row = rows.next()) {
    std::optional<Prompt> prompt = bare_prompt(*row);
    if (!prompt && prompts.empty()) {
      answered = has_answer_column(*row);
      return std::nullopt;
    }
    if (!prompt) {
      row->fail_columns("this record is no prompt without a response, but those before it are",
                        "prompt | prefix | messages that end with one of the user");
    }
    prompts.push_back({row->id(), std::move(*prompt)});
  }
  if (prompts.empty()) return std::nullopt;
  return prompts;
}

}  // namespace

std::vector<PromptRecord> read_prompts(const DataFiles& data) {
  DataFiles with_answers = data;
  if (data.reader.shape == Shape::Auto) {
    if (auto prompts = read_bare_prompts(data, with_answers.reader.unjudged)) return std::move(*prompts);
    for (const std::filesystem::path& file : data.paths) require_rereadable(file);
  }
  RecordReader reader(with_answers);
  std::vector<PromptRecord> prompts;
  Record record;
  while (reader.next(record)) {
    std::visit([&](auto& item) { prompts.push_back({std::move(item.id), std::move(item.prompt)}); }, record);
  }
  return prompts;
}

}  // namespace coala
