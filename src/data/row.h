#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/element_reader.h"
#include "data/record.h"

namespace coala {

/// One parsed object of a data file. Its columns are asked for by name and type, and every refusal says where it
/// stands, what was found and what was expected. A column that is null counts as absent (that is how tables write a
/// missing value). Of a key that occurs twice the last one counts, as in Python's json module: the rest of the
/// ecosystem then reads the same file the same way.
class Row {
 public:
  /// @param numbered_by_line  the record is known by its line rather than by its number in the file
  /// @throws Error{BadInput} when the text is not JSON (NaN, Infinity and numbers beyond double are not)
  Row(const std::filesystem::path& file, const Element& element, bool numbered_by_line);

  bool has(const char* column) const;
  bool has_text(const char* column) const;
  bool has_list(const char* column) const;
  bool has_number(const char* column) const;
  /// The column, which must be there. @param expected  what the message says should be there
  const nlohmann::json& get(const char* column, const char* expected = "a value") const;

  const std::string& text(const char* column) const;
  std::optional<double> number(const char* column) const;
  double required_number(const char* column, double low, double high) const;
  /// A list of {"role", "content"} (OpenAI) or {"from", "value"} (ShareGPT) with the usual names of the three roles.
  std::vector<Message> messages(const char* column) const;

  /// The file's own id (a text or an integer), else the line or number of the record.
  std::string id() const;
  std::uint64_t line() const { return line_; }

  /// @param hint  by default a pointer to the page that shows every shape
  [[noreturn]] void fail(const std::string& problem, const std::string& hint = {}) const;
  /// The same, with the columns that this row has.
  [[noreturn]] void fail_columns(const std::string& problem, const std::string& expected) const;

 private:
  Message message(const nlohmann::json& item, const char* column, std::size_t index) const;
  [[noreturn]] void fail_type(const char* column, const nlohmann::json& found, const char* expected) const;

  nlohmann::json object_;
  std::string file_;
  std::uint64_t line_;
  std::uint64_t number_;
  bool numbered_by_line_;
};

}  // namespace coala
