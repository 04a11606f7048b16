#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "data/byte_source.h"
#include "data/nesting_scanner.h"

namespace coala {

/// The text of one JSON object of a file and where it starts, all counted from 1.
struct Element {
  std::string text;
  std::uint64_t line = 0;
  std::uint64_t column = 0;  ///< byte of that line
  std::uint64_t number = 0;  ///< of the object within the file

  /// "line 3, byte 17" of a byte of the text.
  std::string position(std::size_t offset) const;
};

/// How the objects stand in a file; found by looking at its content, never at its name.
enum class Layout {
  Lines,      ///< JSON lines: one object per line
  Array,      ///< one top-level array of objects
  Documents,  ///< one object (or several) written over several lines
};

/// Cuts a file into its JSON objects, one at a time. The memory it takes is bounded by `max_bytes`, not by the file.
/// Encoding and depth of nesting are checked here; whether the text is JSON is for Row to find out.
class ElementReader {
 public:
  /// @param max_bytes  longest object that is accepted
  ElementReader(std::filesystem::path path, std::size_t max_bytes);

  /// False at the end of the file.
  /// @throws Error{BadInput} naming file, line and byte; what ByteSource throws
  bool next(Element& element);

  Layout layout() const { return layout_; }
  std::uint64_t lines() const;  ///< seen so far
  std::uint64_t blank_lines() const { return blank_lines_; }
  std::uint64_t bytes_read() const { return source_.bytes_read(); }

 private:
  bool find_layout();
  bool read_line(Element& element);
  bool find_in_array();
  bool skip_space();
  bool at_end() { return source_.window().empty(); }
  char peek() { return source_.window().front(); }
  void advance(std::size_t count);
  void skip_byte_order_mark();
  void take_line(Element& element);
  void take_value(Element& element);
  void append(Element& element, std::string_view text) const;
  void expect_object(char first) const;
  void check(const Element& element) const;
  [[noreturn]] void fail_too_deep(const Element& element) const;
  [[noreturn]] void fail(const std::string& position, const std::string& what, const std::string& hint) const;
  std::string here() const;

  ByteSource source_;
  std::size_t max_bytes_;
  Layout layout_ = Layout::Lines;
  NestingScanner scanner_;
  NestingScanner::State line_state_ = NestingScanner::State::Open;  ///< of scanner_ at the end of the line
  bool started_ = false;
  bool array_open_ = false;
  std::uint64_t number_ = 0;
  std::uint64_t line_ = 1;
  std::uint64_t column_ = 1;
  std::uint64_t blank_lines_ = 0;
};

}  // namespace coala
