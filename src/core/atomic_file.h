#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/interrupt.h"

namespace coala {

/// A file that appears under its final name complete or not at all: the content goes to a temporary name in the same
/// folder, `commit()` flushes it to the disk and renames it. Without a commit the destructor removes it. What a killed
/// process left goes when the next one writes the same file. A file that is replaced hands on its permissions.
///
/// A link is followed. Where the name leads to a pipe, a terminal or another device, nothing is replaced: what is
/// written goes there as it comes. A folder, a socket or a disk is refused.
class AtomicFile {
 public:
  /// @throws Error{BadUsage} without a name, Error{BadInput} when it is what cannot be written, Error{Io} when the
  /// folder cannot be written, Error{Interrupted} when it is a pipe that nobody opens for reading
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// @throws Error{Io} (disk full, quota, a pipe's reader is gone), naming the file; Error{Interrupted} while a pipe is
  /// full
  void write(const void* data, std::size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();

 private:
  [[noreturn]] void fail(const char* operation, int error) const;
  void open_temporary();
  void open_through();
  bool is_through() const { return temporary_path_.empty(); }

  std::filesystem::path final_path_;      ///< without links
  std::filesystem::path temporary_path_;  ///< empty: written through
  int descriptor_ = -1;
  std::optional<EndsWithProcess> temporary_;
};

/// Does the name lead to a pipe, a terminal or another device, which AtomicFile writes through?
/// @throws what AtomicFile does for a name that cannot be written
bool is_written_through(const std::filesystem::path& path);

/// Writes a whole small file atomically.
void write_file(const std::filesystem::path& path, std::string_view content);

/// Reads a whole file, or what a pipe brings. @throws Error{BadInput} when it does not exist or is larger than `most`,
/// Error{Io} when it cannot be read
std::string read_file(const std::filesystem::path& path, std::size_t most_bytes = std::size_t{1} << 30);

}  // namespace coala
