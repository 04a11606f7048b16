#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace coala {

/// A table of comma-separated values (RFC 4180): what stands in quotes may hold commas and line breaks.
class CsvTable {
 public:
  /// @throws Error{BadInput} when it cannot be read, is empty, or a row has more or fewer columns than the first line
  explicit CsvTable(const std::filesystem::path& file);

  std::size_t rows() const { return rows_.size(); }
  std::optional<std::size_t> column(const std::string& name) const;
  /// @throws Error{BadInput} naming the columns that there are
  std::size_t required(const std::string& name) const;
  const std::string& text(std::size_t row, std::size_t column) const { return rows_[row][column]; }
  /// @throws Error{BadInput} when it is no finite number
  double number(std::size_t row, std::size_t column) const;

 private:
  std::string file_;
  std::vector<std::string> names_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace coala
