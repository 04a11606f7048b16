#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "data/table_converter.h"
#include "data/unpacker.h"

namespace coala {

/// The bytes of a file in order: of a parquet or Arrow file its rows as JSON lines (TableConverter); unpacked when they
/// are gzip or zstd (Unpacker). Holds one block, whatever the file's size.
class ByteSource {
 public:
  /// @throws Error{BadInput} when the file cannot be opened or is of a format that is known not to be JSON text
  ///         (UTF-16, xz, ...)
  explicit ByteSource(std::filesystem::path path);
  ~ByteSource();
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  /// The next bytes, at least one; empty at the end of the file. Valid until the next call of consume().
  /// @throws Error{CorruptFile} for a truncated or damaged packed file or table, Error{NotBuilt} for a table when
  ///         there is nothing to read it with, Error{Io} when reading fails
  std::string_view window();
  /// Marks the first `count` bytes of window() as done with.
  void consume(std::size_t count);

  const std::filesystem::path& path() const { return path_; }
  /// Bytes of the file that have been read, as they are there; of a table only its first ones.
  std::uint64_t bytes_read() const { return bytes_read_; }

 private:
  bool read_block();
  void fill();
  void unpack_some();

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::string block_;       ///< raw bytes of the file
  std::size_t used_ = 0;    ///< of block_, by the unpacker
  std::string unpacked_;    ///< what window() shows when the file is packed
  std::string_view ready_;  ///< the rest of what window() shows
  std::unique_ptr<Unpacker> unpacker_;
  std::unique_ptr<TableConverter> converter_;
  std::uint64_t bytes_read_ = 0;
  bool at_end_ = false;
};

}  // namespace coala
