#include "data/prompt_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/utf8.h"
#include "data/byte_order_mark.h"
#include "data/data_files.h"
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

/// The prompts of rows that hold nothing else, after the first one.
void read_bare_prompts(RowSource& rows, std::vector<PromptRecord>& prompts) {
  while (const std::optional<Row> row = rows.next()) {
    std::optional<Prompt> prompt = bare_prompt(*row);
    if (!prompt) {
      row->fail_columns("this record is no prompt without a response, but those before it are",
                        "prompt | prefix | messages that end with one of the user");
    }
    prompts.push_back({row->id(), std::move(*prompt)});
  }
}

/// Whether the files are plain texts by their names.
bool are_texts(const std::vector<std::filesystem::path>& paths) {
  return std::ranges::all_of(paths, [](const std::filesystem::path& path) { return path.extension() == ".txt"; });
}

/// Each line that is not blank, as a message of the user.
void read_lines(const std::filesystem::path& path, bool one_of_several, std::vector<PromptRecord>& prompts) {
  const std::string text = read_file(path);
  if (const std::size_t bad = find_invalid_utf8(text); bad != std::string::npos) {
    throw Error(ErrorCode::BadInput, fmt::format("{}: byte {} is not valid UTF-8", path.string(), bad + 1),
                "convert the file: iconv -f ISO-8859-1 -t UTF-8, or whatever its encoding is");
  }
  std::size_t number = 0;
  for (std::size_t begin = text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = trimmed(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
    ++number;
    if (line.empty()) continue;
    const std::string id = std::to_string(number);
    prompts.push_back({one_of_several ? path.filename().string() + ":" + id : id, {{{"user", std::string(line)}}, {}}});
  }
}

std::vector<PromptRecord> read_texts(const std::vector<std::filesystem::path>& paths) {
  std::vector<PromptRecord> prompts;
  for (const std::filesystem::path& path : paths) read_lines(path, paths.size() > 1, prompts);
  if (prompts.empty()) throw Error(ErrorCode::BadInput, fmt::format("{}: there is no prompt in it", name_of(paths)));
  return prompts;
}

}  // namespace

std::vector<PromptRecord> read_prompts(const DataFiles& data) {
  const bool looks = data.reader.shape == Shape::Auto;
  if (looks && are_texts(data.paths)) return read_texts(data.paths);
  ReaderOptions options = data.reader;
  std::vector<PromptRecord> prompts;
  // One pass: the first row tells, and what is read may be a pipe.
  auto rows = std::make_unique<RowSource>(data.paths, data.reader.columns, data.reader.max_record_bytes);
  if (std::optional<Row> first = looks ? rows->next() : std::nullopt) {
    if (std::optional<Prompt> prompt = bare_prompt(*first)) {
      prompts.push_back({first->id(), std::move(*prompt)});
      read_bare_prompts(*rows, prompts);
      return prompts;
    }
    options.unjudged = has_answer_column(*first);
    rows->put_back(std::move(*first));
  }
  RecordReader reader(std::move(options), std::move(rows));
  Record record;
  while (reader.next(record)) {
    std::visit([&](auto& item) { prompts.push_back({std::move(item.id), std::move(item.prompt)}); }, record);
  }
  return prompts;
}

}  // namespace coala
