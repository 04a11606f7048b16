#include "core/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "core/disk_full.h"
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

/// Behind the final name, before digits. No program of somebody else's names its files so.
constexpr std::string_view kTemporary = ".coala-tmp-";

bool is_temporary_name(std::string_view name, std::string_view final_name) {
  if (!name.starts_with(final_name)) return false;
  name.remove_prefix(final_name.size());
  if (!name.starts_with(kTemporary)) return false;
  name.remove_prefix(kTemporary.size());
  return !name.empty() && std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : ".";
}

/// Removes temporary files of killed processes: regular files that nobody holds a lock on.
void remove_leftovers(const std::filesystem::path& final_path, const std::filesystem::path& own) {
  const std::string final_name = final_path.filename().string();
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator(folder_of(final_path), error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::filesystem::path name = entry->path().filename();
    if (!is_temporary_name(name.string(), final_name) || name == own.filename()) continue;
    const int descriptor = ::open(entry->path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (descriptor < 0) continue;
    struct stat status = {};
    if (::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && ::flock(descriptor, LOCK_EX | LOCK_NB) == 0) {
      ::unlink(entry->path().c_str());
    }
    ::close(descriptor);
  }
}

/// What a name leads to.
struct Target {
  std::filesystem::path path;  ///< without links
  bool through = false;        ///< not to be replaced
  int own_descriptor = -1;     ///< it is this one of ours, by way of /dev/stdout or /dev/fd
};

/// The descriptor that a link in /proc stands for; -1 when it is none of ours.
int own_descriptor_of(const std::filesystem::path& link, const std::filesystem::path& real_folder) {
  if (real_folder != fmt::format("/proc/{}/fd", ::getpid()) && real_folder != "/proc/self/fd") return -1;
  const std::string name = link.filename().string();
  int number = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc() && end == name.data() + name.size() ? number : -1;
}

/// @throws Error{BadUsage, BadInput}
Target target_of(std::filesystem::path path) {
  if (path.empty()) {
    throw Error(ErrorCode::BadUsage, "the name of a file to write is empty",
                "name one; a variable of the shell may not be set");
  }
  const std::string named = path.string();
  const auto refuse = [&](std::string_view what) {
    return Error(ErrorCode::BadInput, fmt::format("{} cannot be written: {}", named, what), "name another file");
  };
  constexpr int kMostLinks = 40;  // as the kernel has it
  for (int link = 0; link <= kMostLinks; ++link) {
    struct stat status = {};
    if (::lstat(path.c_str(), &status) != 0) {
      if (errno == ELOOP) throw refuse(std::strerror(errno));
      return {path, false, -1};  // new, or not to be had, which opening it says
    }
    if (S_ISREG(status.st_mode)) return {path, false, -1};
    if (S_ISCHR(status.st_mode) || S_ISFIFO(status.st_mode)) return {path, true, -1};
    if (S_ISDIR(status.st_mode)) throw refuse("it is a folder");
    if (S_ISSOCK(status.st_mode)) throw refuse("it is a socket");
    if (!S_ISLNK(status.st_mode)) throw refuse("it is a disk");
    std::error_code error;
    const std::filesystem::path folder = std::filesystem::canonical(folder_of(path), error);
    if (!error && folder.string().starts_with("/proc/")) return {path, true, own_descriptor_of(path, folder)};
    const std::filesystem::path next = std::filesystem::read_symlink(path, error);
    if (error) throw refuse(error.message());
    path = next.is_absolute() ? next : folder_of(path) / next;
  }
  throw refuse("its links go round in a circle");
}

}  // namespace

AtomicFile::AtomicFile(const std::filesystem::path& path) {
  Target target = target_of(path);
  final_path_ = std::move(target.path);
  if (target.own_descriptor >= 0) {
    descriptor_ = ::fcntl(target.own_descriptor, F_DUPFD_CLOEXEC, 0);
    if (descriptor_ < 0) fail("write", errno);
  } else if (target.through) {
    open_through();
  } else {
    open_temporary();
  }
}

void AtomicFile::open_temporary() {
  constexpr int kAttempts = 100;
  struct stat before = {};
  const bool replaces = ::stat(final_path_.c_str(), &before) == 0;
  const std::uint64_t process = static_cast<std::uint64_t>(::getpid());
  for (std::uint64_t attempt = 0; descriptor_ < 0; ++attempt) {
    temporary_path_ = final_path_;
    temporary_path_ += fmt::format("{}{}{:03}", kTemporary, process, attempt);
    descriptor_ = ::open(temporary_path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    // A leftover of a process with this number, or what somebody has put there: neither is touched.
    if (descriptor_ < 0 && errno == EEXIST && attempt < kAttempts) continue;
    if (descriptor_ < 0) fail("create", errno);
    // Somebody who clears up may have taken the file for a leftover before it was locked. Where there are no locks,
    // nobody clears up.
    const bool locked = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
    if ((locked || errno != EWOULDBLOCK) && is_at(descriptor_, temporary_path_)) break;
    if (attempt >= kAttempts) break;
    ::close(std::exchange(descriptor_, -1));
  }
  temporary_.emplace(EndsWithProcess::Kind::File, temporary_path_);
  if (replaces) ::fchmod(descriptor_, before.st_mode & 07777);  // not ours to change: then it has the usual ones
  remove_leftovers(final_path_, temporary_path_);
}

/// Without waiting in the kernel: a pipe may have nobody at its other end for ever.
void AtomicFile::open_through() {
  constexpr std::chrono::milliseconds kLook{20};
  for (;;) {
    descriptor_ = ::open(final_path_.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (descriptor_ >= 0) return;
    const int error = errno;
    // A pipe that nobody reads yet; a device says the same where there is none (/dev/tty without a terminal).
    const bool waits = error == ENXIO && std::filesystem::is_fifo(final_path_);
    if (!waits && error != EINTR) fail("open", error);
    throw_if_interrupted();
    std::this_thread::sleep_for(kLook);
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (!is_through()) ::unlink(temporary_path_.c_str());
}

void AtomicFile::fail(const char* operation, int error) const {
  const std::string message = fmt::format("cannot {} {}: {}", operation, final_path_.string(), std::strerror(error));
  if (means_disk_full(error)) throw DiskFull(message, "free some disk space and run the same command again");
  throw Error(ErrorCode::Io, message, "check that the folder exists and may be written");
}

void AtomicFile::write(const void* data, std::size_t bytes) {
  const char* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, from, bytes);
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) fail("write", errno);
      constexpr int kLook_ms = 100;
      pollfd ready{descriptor_, POLLOUT, 0};
      ::poll(&ready, 1, kLook_ms);
      throw_if_interrupted();
      continue;
    }
    from += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::commit() {
  if (is_through()) {
    if (::close(std::exchange(descriptor_, -1)) != 0) fail("write", errno);
    return;
  }
  if (::fsync(descriptor_) != 0) fail("flush", errno);
  if (::rename(temporary_path_.c_str(), final_path_.c_str()) != 0) fail("rename", errno);
  temporary_.reset();
  ::close(std::exchange(descriptor_, -1));
  // The rename itself must survive a power cut: flush the folder too. Some file systems refuse that; the data is
  // safe under the temporary or the final name in either case, so a refusal is not an error.
  const int folder_descriptor = ::open(folder_of(final_path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_descriptor >= 0) {
    ::fsync(folder_descriptor);
    ::close(folder_descriptor);
  }
}

bool is_written_through(const std::filesystem::path& path) {
  return target_of(path).through;
}

void write_file(const std::filesystem::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

std::string read_file(const std::filesystem::path& path, std::size_t most_bytes) {
  struct Descriptor {
    int number;
    ~Descriptor() {
      if (number >= 0) ::close(number);
    }
  };
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.number < 0) {
    throw Error(ErrorCode::BadInput, fmt::format("cannot open {}: {}", path.string(), std::strerror(errno)),
                "check the path");
  }
  std::string content;
  std::array<char, 1 << 16> buffer{};
  for (;;) {
    const ssize_t got = ::read(file.number, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      throw Error(errno == EISDIR ? ErrorCode::BadInput : ErrorCode::Io,
                  fmt::format("cannot read {}: {}", path.string(), std::strerror(errno)));
    }
    if (got == 0) return content;
    throw_if_interrupted();
    if (content.size() + static_cast<std::size_t>(got) > most_bytes) {
      throw Error(ErrorCode::BadInput, fmt::format("{} has more than {} bytes", path.string(), most_bytes),
                  "check that it is the file that you mean");
    }
    content.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace coala
