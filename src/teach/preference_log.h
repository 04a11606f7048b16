#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "data/reader.h"

namespace coala {

/// A file of preferences that grows record by record, in coala's own shape. What add() has returned from is on the
/// disk; a line that a killed process did not finish is taken out when the file is opened again.
class PreferenceLog {
 public:
  /// Reads what is there.
  /// @throws Error{BadInput} for a file that holds something else, Error{Io}
  PreferenceLog(std::filesystem::path path, RecordKind kind);

  /// @throws Error{Io} when it cannot be kept: then the file is as before
  void add(const Record& record);
  /// Takes the last record out. @throws Error{Io}
  void remove_last();

  const std::vector<Record>& records() const { return records_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  void cut(std::uint64_t bytes);

  std::filesystem::path path_;
  std::vector<Record> records_;
  std::vector<std::uint64_t> ends_;  ///< of the records' lines, in bytes
};

}  // namespace coala
