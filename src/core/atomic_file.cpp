#include "core/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include "core/error.h"

namespace coala {
namespace {

/// Whether an open file is the one that has the name now.
bool is_at(int descriptor, const std::filesystem::path& path) {
  struct stat open = {};
  struct stat named = {};
  return ::fstat(descriptor, &open) == 0 && ::stat(path.c_str(), &named) == 0 && open.st_ino == named.st_ino &&
         open.st_dev == named.st_dev;
}

/// Removes temporary files of killed processes: those that nobody holds a lock on.
void remove_leftovers(const std::filesystem::path& final_path, const std::filesystem::path& own) {
  const std::string prefix = final_path.filename().string() + ".tmp.";
  const std::filesystem::path folder = final_path.has_parent_path() ? final_path.parent_path() : ".";
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator(folder, error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::filesystem::path name = entry->path().filename();
    if (!name.string().starts_with(prefix) || name == own.filename()) continue;
    const int descriptor = ::open(entry->path().c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) continue;
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) ::unlink(entry->path().c_str());
    ::close(descriptor);
  }
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path final_path) : final_path_(std::move(final_path)) {
  temporary_path_ = final_path_;
  temporary_path_ += fmt::format(".tmp.{}", ::getpid());
  constexpr int kAttempts = 100;
  for (int attempt = 1; descriptor_ < 0; ++attempt) {
    descriptor_ = ::open(temporary_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (descriptor_ < 0) fail("create", errno);
    // Somebody who clears up may have taken the file for a leftover before it was locked. Where there are no locks,
    // nobody clears up.
    const bool locked = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
    if ((locked || errno != EWOULDBLOCK) && is_at(descriptor_, temporary_path_)) break;
    if (attempt == kAttempts) break;
    ::close(std::exchange(descriptor_, -1));
  }
  remove_leftovers(final_path_, temporary_path_);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_path_.c_str());
}

void AtomicFile::fail(const char* operation, int error) const {
  throw Error(ErrorCode::Io, fmt::format("cannot {} {}: {}", operation, final_path_.string(), std::strerror(error)),
              error == ENOSPC ? "free some disk space and run the same command again"
                              : "check that the folder exists and may be written");
}

void AtomicFile::write(const void* data, std::size_t bytes) {
  const char* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, from, bytes);
    if (written < 0) {
      if (errno == EINTR) continue;
      fail("write", errno);
    }
    from += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) fail("flush", errno);
  if (::rename(temporary_path_.c_str(), final_path_.c_str()) != 0) fail("rename", errno);
  ::close(std::exchange(descriptor_, -1));
  // The rename itself must survive a power cut: flush the folder too. Some file systems refuse that; the data is
  // safe under the temporary or the final name in either case, so a refusal is not an error.
  const std::filesystem::path folder = final_path_.has_parent_path() ? final_path_.parent_path() : ".";
  const int folder_descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_descriptor >= 0) {
    ::fsync(folder_descriptor);
    ::close(folder_descriptor);
  }
}

void write_file(const std::filesystem::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

std::string read_file(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    throw Error(ErrorCode::BadInput, fmt::format("cannot open {}: {}", path.string(), std::strerror(errno)),
                "check the path");
  }
  std::string content;
  std::array<char, 1 << 16> buffer{};
  for (;;) {
    const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int error = errno;
      ::close(descriptor);
      throw Error(error == EISDIR ? ErrorCode::BadInput : ErrorCode::Io,
                  fmt::format("cannot read {}: {}", path.string(), std::strerror(error)));
    }
    if (got == 0) break;
    content.append(buffer.data(), static_cast<std::size_t>(got));
  }
  ::close(descriptor);
  return content;
}

}  // namespace coala
