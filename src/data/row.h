#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/columns.h"
#include "data/element_reader.h"
#include "data/record.h"

namespace coala {

/// One parsed object of a data file. Its columns are asked for by name and type, and every refusal says where it
/// stands, what was found and what was expected. A column that is null counts as absent (that is how tables write a
/// missing value). Of a key that occurs twice the last one counts, as in Python's json module: the rest of the
/// ecosystem then reads the same file the same way. A list of messages that is written as a text (tables do that) is
/// read as the list.
///
/// A row knows which of its columns were asked for: what is left in the end must not be part of the preference.
class Row {
 public:
  /// Where a row comes from.
  struct Origin {
    const std::filesystem::path& file;
    bool one_of_several = false;   ///< a record without an id of its own is known by its file as well
    bool numbered_by_line = true;  ///< it is known by its line rather than by its number in the file
  };

  /// @param columns  outlives the row
  /// @throws Error{BadInput} when the text is not JSON (NaN, Infinity and numbers beyond double are not)
  Row(const Origin& origin, const Element& element, const ColumnOptions& columns);

  Row(Row&&) = default;
  Row& operator=(Row&&) = default;
  Row(const Row&) = delete;  ///< its fields point into it
  Row& operator=(const Row&) = delete;

  /// The rows of a record that holds a whole table: {"prompt": [..], "chosen": [..]}, or {"rows": [{"row": {..}}]} as
  /// the hub's server answers. Empty for a record that is one row.
  std::vector<Row> expand() const;

  bool has(const char* column) const;
  /// Whether there is such a column, be it null.
  bool has_key(const char* column) const;
  bool has_object(const char* column) const;
  bool has_text(const char* column) const;
  bool has_list(const char* column) const;
  bool has_number(const char* column) const;
  /// The column, which must be there. @param expected  what the message says should be there
  const nlohmann::json& get(const char* column, const char* expected = "a value") const;

  const std::string& text(const char* column) const;
  std::optional<double> number(const char* column) const;
  double required_number(const char* column, double low, double high) const;
  /// A list of {"role", "content"} (OpenAI) or {"from", "value"} (ShareGPT) with the usual names of the three roles;
  /// or one such message alone, or {"messages": [..]}.
  /// @throws Error{BadInput} also for a message with a tool call, reasoning or a picture: they are not read
  std::vector<Message> messages(const char* column) const;
  /// The same of a value that stands deeper. @param where  for messages: "answer 2 of column \"answers\""
  std::vector<Message> messages_of(const nlohmann::json& value, const std::string& where) const;
  /// Whether the column holds messages in one of these forms.
  bool has_messages(const char* column) const;
  /// Whether the last of the column's messages is the assistant's.
  bool ends_with_answer(const char* column) const;

  /// The file's own id (a text or an integer), else the line or number of the record.
  std::string id() const;
  const ColumnOptions& columns() const { return *columns_; }
  /// Notes that the column was read, or that another one says the same.
  void mark_read(std::string_view column) const;
  /// Those of its columns that were asked for; they live as long as the row.
  std::vector<std::string_view> read_columns() const;
  const nlohmann::json& object() const { return object_; }
  /// Every text in the columns that were read.
  std::vector<std::string_view> read_texts() const;

  /// Refuses what would be lost: columns that nobody has asked for and that may be part of the preference, unless the
  /// user says that they may be ignored or the record says the same elsewhere.
  /// @param said    the texts of the record
  /// @param judged  it is known which of its answers are better
  /// @return the columns that are ignored
  /// @throws Error{BadInput} naming the column
  std::vector<std::string> check_unread(std::span<const std::string_view> said, bool has_prompt, bool judged) const;
  /// What is in a column that is ignored and whose name says that it is what is asked; empty: there is none. After
  /// everything has been read.
  std::string ignored_question() const;
  std::uint64_t line() const { return line_; }
  const std::string& file() const { return file_; }

  /// @param hint  by default a pointer to the page that shows every shape
  [[noreturn]] void fail(const std::string& problem, const std::string& hint = {}) const;
  /// The same, with the columns that this row has.
  [[noreturn]] void fail_columns(const std::string& problem, const std::string& expected) const;

 private:
  Row(const Row& table, nlohmann::json object, std::uint64_t number);
  struct Field {
    std::string_view name;
    const nlohmann::json* value;
    mutable bool read = false;
  };

  void rename();
  void index();
  const Field* field(std::string_view column) const;
  void parse_texts();
  Message message(const nlohmann::json& item, const std::string& where) const;
  void check_message_fields(const nlohmann::json& item, const std::string& where) const;
  [[noreturn]] void fail_unread(const std::string& column, const nlohmann::json& value, bool has_prompt) const;
  [[noreturn]] void fail_type(const char* column, const nlohmann::json& found, const char* expected) const;

  nlohmann::json object_;
  nlohmann::json displaced_;  ///< columns whose names --columns gives to others
  const ColumnOptions* columns_;
  std::vector<Field> fields_;  ///< the columns of object_; a row is asked for dozens of names
  std::string file_;
  std::uint64_t line_;
  std::uint64_t number_;
  bool one_of_several_;
  bool numbered_by_line_;
};

}  // namespace coala
