#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>

namespace coala {

/// A file that appears under its final name complete or not at all: the content goes to a temporary name in the same
/// folder, `commit()` flushes it to the disk and renames it. Without a commit the destructor removes it. What a killed
/// process left goes when the next one writes the same file.
class AtomicFile {
 public:
  /// @throws Error{Io} when the folder cannot be written
  explicit AtomicFile(std::filesystem::path final_path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// @throws Error{Io} (disk full, quota), naming the file
  void write(const void* data, std::size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();

 private:
  [[noreturn]] void fail(const char* operation, int error) const;

  std::filesystem::path final_path_;
  std::filesystem::path temporary_path_;
  int descriptor_ = -1;
};

/// Writes a whole small file atomically.
void write_file(const std::filesystem::path& path, std::string_view content);

/// Reads a whole file. @throws Error{BadInput} when it does not exist, Error{Io} when it cannot be read
std::string read_file(const std::filesystem::path& path);

}  // namespace coala
