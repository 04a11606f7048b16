#include "data/prompt_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "core/error.h"
#include "core/interrupt.h"
#include "data/element_reader.h"
#include "data/row.h"

namespace coala {
namespace {

/// Columns that hold or judge a response: a record with one of these is not a bare prompt.
constexpr std::array kResponseColumns{"chosen",     "rejected",     "completion", "response",           "response1",
                                      "response_1", "text",         "label",      "overall_preference", "utterances",
                                      "score",      "conversations"};

/// The prompt of a record that holds nothing else; nothing when the record is of another kind.
std::optional<Prompt> bare_prompt(const Row& row) {
  if (std::ranges::any_of(kResponseColumns, [&](const char* column) { return row.has(column); })) return std::nullopt;
  if (row.has("prompt") && row.has("prefix")) row.fail("it has both a prompt and a prefix; expected one of them");
  if (row.has_list("prompt")) return Prompt{row.messages("prompt"), {}};
  if (row.has("prompt")) return Prompt{{{"user", row.text("prompt")}}, {}};
  if (row.has("prefix")) return Prompt{{}, row.text("prefix")};
  if (!row.has("messages")) return std::nullopt;
  std::vector<Message> messages = row.messages("messages");
  if (messages.empty() || messages.back().role != "user") return std::nullopt;
  return Prompt{std::move(messages), {}};
}

/// Nothing when the file's first record is no bare prompt.
std::optional<std::vector<PromptRecord>> read_bare_prompts(const std::filesystem::path& path,
                                                           const ReaderOptions& options) {
  ElementReader elements(path, options.max_record_bytes);
  std::vector<PromptRecord> prompts;
  Element element;
  while (elements.next(element)) {
    throw_if_interrupted();
    const Row row(path, element, elements.layout() != Layout::Array);
    std::optional<Prompt> prompt = bare_prompt(row);
    if (!prompt && prompts.empty()) return std::nullopt;
    if (!prompt) {
      row.fail_columns("this record is no prompt without a response, but those before it are",
                       "prompt | prefix | messages that end with one of the user");
    }
    prompts.push_back({row.id(), std::move(*prompt)});
  }
  if (prompts.empty()) return std::nullopt;
  return prompts;
}

}  // namespace

std::vector<PromptRecord> read_prompts(const std::filesystem::path& path, const ReaderOptions& options) {
  if (options.shape == Shape::Auto) {
    if (auto prompts = read_bare_prompts(path, options)) return std::move(*prompts);
  }
  RecordReader reader(path, options);
  std::vector<PromptRecord> prompts;
  Record record;
  while (reader.next(record)) {
    std::visit([&](auto& item) { prompts.push_back({std::move(item.id), std::move(item.prompt)}); }, record);
  }
  return prompts;
}

}  // namespace coala
