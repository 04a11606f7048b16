#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace coala {

/// A file without a name, for what a process writes and reads again: it is gone when the process ends, however that
/// happens.
class TemporaryFile {
 public:
  /// @param folder  where its space is taken. @throws Error{Io} when no file can be made there
  explicit TemporaryFile(const std::filesystem::path& folder);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  /// @throws Error{Io} (disk full, quota), naming the folder
  void append(const void* data, std::size_t bytes);
  /// Safe to call from several threads. @throws Error{Io}, also for bytes that were not written
  void read(std::uint64_t offset, void* data, std::size_t bytes) const;
  std::uint64_t bytes() const { return bytes_; }

 private:
  [[noreturn]] void fail(const char* operation, int error) const;

  std::filesystem::path folder_;
  int descriptor_ = -1;
  std::uint64_t bytes_ = 0;
};

}  // namespace coala
