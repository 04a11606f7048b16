#include "tally/csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/utf8.h"

namespace coala {
namespace {

std::vector<std::vector<std::string>> parse(std::string_view text) {
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> row;
  std::string field;
  bool quoted = false;
  const auto end_row = [&] {
    row.push_back(std::move(field));
    field.clear();
    if (row.size() > 1 || !row[0].empty()) rows.push_back(std::move(row));
    row.clear();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c != '"') {
        field += c;
      } else if (i + 1 < text.size() && text[i + 1] == '"') {
        field += '"';
        ++i;
      } else {
        quoted = false;
      }
    } else if (c == '"') {
      quoted = true;
    } else if (c == ',') {
      row.push_back(std::move(field));
      field.clear();
    } else if (c == '\n') {
      end_row();
    } else if (c != '\r') {
      field += c;
    }
  }
  if (!field.empty() || !row.empty()) end_row();
  return rows;
}

}  // namespace

CsvTable::CsvTable(const std::filesystem::path& file) : file_(file.string()), rows_(parse(read_file(file))) {
  if (rows_.size() < 2) throw Error(ErrorCode::BadInput, fmt::format("{} has no rows under its first line", file_));
  names_ = std::move(rows_.front());
  rows_.erase(rows_.begin());
  for (std::size_t row = 0; row < rows_.size(); ++row) {
    if (rows_[row].size() != names_.size()) {
      throw Error(ErrorCode::BadInput, fmt::format("{}, row {}: {} columns, the first line names {}", file_, row + 1,
                                                   rows_[row].size(), names_.size()));
    }
  }
}

std::optional<std::size_t> CsvTable::column(const std::string& name) const {
  const auto at = std::ranges::find(names_, name);
  if (at == names_.end()) return std::nullopt;
  return static_cast<std::size_t>(at - names_.begin());
}

std::size_t CsvTable::required(const std::string& name) const {
  const std::optional<std::size_t> found = column(name);
  if (!found) {
    throw Error(ErrorCode::BadInput,
                fmt::format("{} has no column {}; it has {}", file_, name, fmt::join(names_, ", ")));
  }
  return *found;
}

double CsvTable::number(std::size_t row, std::size_t column) const {
  const std::string& text = rows_[row][column];
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(value)) {
    throw Error(ErrorCode::BadInput,
                fmt::format("{}, row {}, {}: {} is no number", file_, row + 1, names_[column], quoted_text(text)));
  }
  return value;
}

}  // namespace coala
