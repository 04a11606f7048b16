#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "core/error.h"
#include "data/columns.h"
#include "data/element_reader.h"
#include "data/row.h"

namespace coala {

/// The rows of files, one after the other; those of a record that holds a table one by one.
class RowSource {
 public:
  /// @param columns    outlives the source and its rows
  /// @param max_bytes  longest JSON object that is accepted
  RowSource(std::vector<std::filesystem::path> files, const ColumnOptions& columns, std::size_t max_bytes);

  /// Called with what is wrong with an object that is not JSON, which is then passed over; by default it is thrown.
  void on_bad(std::function<void(const Error&)> take) { take_bad_ = std::move(take); }

  /// The next row; nothing at the end of the last file.
  /// @throws Error{BadInput} naming file, line and byte; what ByteSource throws; Error{Interrupted}
  std::optional<Row> next();

  /// Gives a row back, which is then the next one.
  void put_back(Row row) { waiting_.push_front(std::move(row)); }

  std::uint64_t lines() const;  ///< seen so far, as the next two
  std::uint64_t blank_lines() const;
  std::uint64_t bytes_read() const;
  const std::vector<std::filesystem::path>& files() const { return files_; }

 private:
  bool next_element(Element& element);

  std::vector<std::filesystem::path> files_;
  const ColumnOptions* columns_;
  std::size_t max_bytes_;
  std::function<void(const Error&)> take_bad_;
  std::optional<ElementReader> elements_;  ///< of the file before next_file_
  std::size_t next_file_ = 0;
  std::uint64_t lines_ = 0, blank_lines_ = 0, bytes_read_ = 0;  ///< of the files that are done
  std::deque<Row> waiting_;  ///< rows of a record that holds several, and one that was put back
};

}  // namespace coala
