#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "data/reader.h"

namespace coala {

/// A record as one line of Shape::Coala, without the line break; RecordReader gives the same record back from it.
/// @throws Error{BadInput} when a text is not UTF-8 or a number is not finite
std::string to_json_line(const Record& record);

/// Writes records as JSON lines, gzip when the name ends in ".gz". The file appears when commit() is called, complete;
/// the same records give the same bytes.
class RecordWriter {
 public:
  /// @throws Error{Io} when the folder cannot be written
  explicit RecordWriter(const std::filesystem::path& path);
  ~RecordWriter();
  RecordWriter(const RecordWriter&) = delete;
  RecordWriter& operator=(const RecordWriter&) = delete;

  /// @throws Error{Io}, and what to_json_line() throws
  void write(const Record& record);
  void commit();
  std::uint64_t records() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coala
