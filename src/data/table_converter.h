#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/interrupt.h"

namespace coala {

/// Whether a file that starts with these bytes is a table: parquet, or an Arrow file or stream (as `save_to_disk` of
/// the datasets library writes them).
bool is_table(std::string_view start);

/// Another process that writes a table's rows as JSON lines, read here through a pipe while it works. Python with the
/// package pyarrow does it: whoever has such files has made or fetched them with Python, the formats are many (pages,
/// codecs, nested columns), and there is no C++ library for them in Debian 12. A few thousand rows at a time are in its
/// memory.
class TableConverter {
 public:
  /// @throws Error{Io} when no process can be started
  explicit TableConverter(const std::filesystem::path& path);
  ~TableConverter();
  TableConverter(const TableConverter&) = delete;
  TableConverter& operator=(const TableConverter&) = delete;

  int descriptor() const { return output_; }
  /// After the end of the output.
  /// @throws Error{NotBuilt} when there is no Python with pyarrow, Error{CorruptFile} when it cannot read the file
  void finish();

 private:
  std::string complaint();

  std::filesystem::path path_;
  int output_ = -1;
  int errors_ = -1;
  pid_t child_ = -1;
  std::optional<EndsWithProcess> ends_;
};

}  // namespace coala
