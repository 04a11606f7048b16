#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/reader.h"

namespace coala {

/// A file of preferences that grows record by record, in coala's own shape. What add() has returned from is on the
/// disk; a line that a killed process did not finish is taken out when the file is opened again. One process writes it
/// at a time.
class PreferenceLog {
 public:
  /// Reads what is there; a file that is something else is left as it is.
  /// @throws Error{BadInput} for a file that holds something else, Error{BadUsage} when another process has it,
  /// Error{Io}
  PreferenceLog(std::filesystem::path path, RecordKind kind);
  ~PreferenceLog();
  PreferenceLog(const PreferenceLog&) = delete;
  PreferenceLog& operator=(const PreferenceLog&) = delete;

  /// Makes the file, if there is none, and keeps other processes from it. @throws Error{Io}, Error{BadUsage}
  void open();
  /// Whether a reader will give the same record back. @throws Error{BadInput} saying why not; DiskFull
  void check(const Record& record) const;
  /// @throws Error{Io} when it cannot be kept, DiskFull: then the file is as before
  void add(const Record& record);
  /// Takes the last record out. @throws Error{Io}
  void remove_last();

  const std::vector<Record>& records() const { return records_; }
  const std::string& text() const { return text_; }  ///< of the whole file
  const std::filesystem::path& path() const { return path_; }

 private:
  std::vector<std::size_t> line_ends() const;
  void read_file_text();
  void check_unchanged() const;
  void set_length(std::uint64_t bytes);

  std::filesystem::path path_;
  RecordKind kind_;
  int descriptor_ = -1;  ///< -1: there is no file yet
  std::vector<Record> records_;
  std::string text_;
};

}  // namespace coala
