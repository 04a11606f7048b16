#include "data/element_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "core/utf8.h"
#include "data/byte_order_mark.h"

namespace coala {
namespace {

std::string at(std::uint64_t line, std::uint64_t column) {
  return fmt::format("line {}, byte {}", line, column);
}

/// What to do with a file that does not hold JSON, by its name.
std::string not_json_hint(const std::filesystem::path& path) {
  const std::string ending = path.extension().string();
  if (ending == ".csv" || ending == ".tsv") {
    return fmt::format(
        "tables are read as parquet or Arrow, and {} as JSON lines: python3 -c \"import csv, json, sys; "
        "[print(json.dumps(row)) for row in csv.DictReader(sys.stdin{})]\" <{} >{}",
        ending == ".csv" ? "CSV" : "TSV", ending == ".csv" ? "" : ", delimiter='\\t'", path.string(),
        path.filename().replace_extension(".jsonl").string());
  }
  if (ending == ".txt") {
    return "a text of one prompt a line is read where prompts are wanted (coala generate, coala sample); answers and "
           "preferences are JSON lines: {\"prompt\": .., \"chosen\": .., \"rejected\": ..}, see docs/data-shapes.md";
  }
  if (path == "/dev/stdin") {
    return "standard input is read as JSON lines, {\"prompt\": ..} for a prompt; a text of one prompt a line has to be "
           "in a file, NAME.txt";
  }
  return "each line is one JSON object, or the file is one JSON array of objects; see docs/data-shapes.md";
}

}  // namespace

std::string Element::position(std::size_t offset) const {
  const std::string_view before = std::string_view(text).substr(0, offset);
  const std::size_t last_break = before.rfind('\n');
  if (last_break == std::string_view::npos) return at(line, column + before.size());
  return at(line + static_cast<std::uint64_t>(std::count(before.begin(), before.end(), '\n')),
            before.size() - last_break);
}

ElementReader::ElementReader(std::filesystem::path path, std::size_t max_bytes)
    : source_(std::move(path)), max_bytes_(max_bytes) {}

std::uint64_t ElementReader::lines() const {
  return column_ > 1 ? line_ : line_ - 1;
}

std::string ElementReader::here() const {
  return at(line_, column_);
}

void ElementReader::fail(const std::string& position, const std::string& what, const std::string& hint) const {
  throw Error(ErrorCode::BadInput, fmt::format("{}: {}: {}", source_.path().string(), position, what), hint);
}

void ElementReader::fail_too_deep(const Element& element) const {
  fail(element.position(0), fmt::format("the record nests brackets more than {} deep", NestingScanner::kMaxDepth),
       "remove the nested column; coala needs texts, numbers and lists of messages only");
}

void ElementReader::advance(std::size_t count) {
  const std::string_view consumed = source_.window().substr(0, count);
  const std::size_t last_break = consumed.rfind('\n');
  if (last_break == std::string_view::npos) {
    column_ += consumed.size();
  } else {
    line_ += static_cast<std::uint64_t>(std::count(consumed.begin(), consumed.end(), '\n'));
    column_ = consumed.size() - last_break;
  }
  source_.consume(count);
}

/// False at the end of the file.
bool ElementReader::skip_space() {
  for (std::string_view window; !(window = source_.window()).empty();) {
    const auto first = std::find_if_not(window.begin(), window.end(), is_space);
    advance(static_cast<std::size_t>(first - window.begin()));
    if (first != window.end()) return true;
  }
  return false;
}

void ElementReader::skip_byte_order_mark() {
  // The mark may straddle two blocks of a pipe, so it is taken byte by byte; nothing else starts with its first byte.
  if (at_end() || peek() != kByteOrderMark[0]) return;
  for (const char expected : kByteOrderMark) {
    if (at_end() || peek() != expected) fail(at(1, 1), "is not valid UTF-8 text", "save the file as UTF-8");
    source_.consume(1);
  }
}

void ElementReader::append(Element& element, std::string_view text) const {
  if (text.size() > max_bytes_ - element.text.size()) {
    fail(element.position(0), fmt::format("the record is longer than {} bytes", max_bytes_),
         "split the record, or check that the file has one record per line");
  }
  element.text += text;
}

void ElementReader::expect_object(char first) const {
  if (first == '{') return;
  fail(here(), fmt::format("expected a JSON object ({{...}}), found {}", quoted_text(std::string_view(&first, 1))),
       not_json_hint(source_.path()));
}

void ElementReader::check(const Element& element) const {
  const std::size_t bad = find_invalid_utf8(element.text);
  if (bad == std::string::npos) return;
  fail(element.position(bad),
       fmt::format("not valid UTF-8: found byte 0x{:02x}", static_cast<unsigned char>(element.text[bad])),
       "convert the file: iconv -f ISO-8859-1 -t UTF-8, or whatever its encoding is");
}

/// Looks at the first byte that means anything. False when there is none.
bool ElementReader::find_layout() {
  started_ = true;
  skip_byte_order_mark();
  const bool found = skip_space();
  blank_lines_ = line_ - 1;
  if (!found) return false;
  if (peek() == '[') {
    layout_ = Layout::Array;
    array_open_ = true;
    advance(1);
  }
  return true;
}

bool ElementReader::next(Element& element) {
  const bool first = !started_;
  if (first && !find_layout()) return false;
  switch (layout_) {
    case Layout::Lines:
      if (!read_line(element)) return false;
      // A first object that does not end with its line is one that is written over several. (Later ones are not: a
      // damaged line must not swallow the lines after it.)
      if (first && line_state_ == NestingScanner::State::Open && scanner_.scan("\n").state == line_state_) {
        layout_ = Layout::Documents;
        append(element, "\n");
        take_value(element);
      }
      break;
    case Layout::Array:
    case Layout::Documents:
      if (layout_ == Layout::Array ? !find_in_array() : !skip_space()) return false;
      expect_object(peek());
      element = {.text = {}, .line = line_, .column = column_, .number = 0};
      scanner_.reset();
      take_value(element);
      break;
  }
  check(element);
  element.number = ++number_;
  return true;
}

/// The next line that is not blank, scanned for its nesting.
bool ElementReader::read_line(Element& element) {
  do {
    if (at_end()) return false;
    element = {.text = {}, .line = line_, .column = column_, .number = 0};
    take_line(element);
    // Files that were put together have a byte order mark in front of a later line.
    if (element.text.starts_with(kByteOrderMark)) element.text.erase(0, kByteOrderMark.size());
    if (!is_blank(element.text)) break;
    ++blank_lines_;
  } while (true);
  const std::size_t first = element.text.find_first_not_of(" \t\r\f\v");
  if (element.text[first] != '{') {
    const std::string found = quoted_text(std::string_view(element.text).substr(first), 40);
    fail(element.position(first), fmt::format("expected a JSON object ({{...}}), found {}", found),
         not_json_hint(source_.path()));
  }
  scanner_.reset();
  line_state_ = scanner_.scan(element.text).state;
  if (line_state_ == NestingScanner::State::TooDeep) fail_too_deep(element);
  return true;
}

/// Appends up to the line break, which is consumed but not kept.
void ElementReader::take_line(Element& element) {
  for (std::string_view window; !(window = source_.window()).empty();) {
    const std::size_t line_break = window.find('\n');
    append(element, window.substr(0, line_break));
    if (line_break != std::string_view::npos) {
      advance(line_break + 1);
      return;
    }
    advance(window.size());
  }
}

/// Appends up to the bracket that closes the object.
void ElementReader::take_value(Element& element) {
  for (std::string_view window; !(window = source_.window()).empty();) {
    const NestingScanner::Step step = scanner_.scan(window);
    append(element, window.substr(0, step.used));
    switch (step.state) {
      case NestingScanner::State::Open:
        break;
      case NestingScanner::State::Closed:
        advance(step.used);
        return;
      case NestingScanner::State::TooDeep:
        fail_too_deep(element);
      case NestingScanner::State::BreakInString:
        fail(element.position(element.text.size() - 1), "not valid JSON: a line break inside a string",
             "a quote is missing, or the break should be written as \\n");
    }
    advance(step.used);
  }
  fail(element.position(0), "the file ends in the middle of the record that starts here",
       "the file is truncated, or a bracket or quote is missing");
}

/// Moves to the next element of the array; false when it has ended and only white space follows.
bool ElementReader::find_in_array() {
  const auto ends_early = [&] {
    fail(here(), "the file ends inside its top-level array", "the file is truncated: fetch or write it again");
  };
  if (!array_open_) return false;
  if (!skip_space()) ends_early();
  if (number_ > 0 && peek() == ',') {
    advance(1);
    if (!skip_space()) ends_early();
    return true;
  }
  if (peek() != ']') {
    if (number_ == 0) return true;
    const char found = peek();
    fail(here(),
         fmt::format("expected ',' or ']' after an element, found {}", quoted_text(std::string_view(&found, 1))),
         "the top-level array is not valid JSON");
  }
  advance(1);
  array_open_ = false;
  if (skip_space()) {
    fail(here(), "something follows the end of the top-level array",
         "the file must be one array, or one object per line");
  }
  return false;
}

}  // namespace coala
