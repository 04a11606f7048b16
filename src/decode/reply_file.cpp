#include "decode/reply_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "core/atomic_file.h"
#include "core/error.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

/// The complete lines of a text, without their line breaks.
std::vector<std::string_view> complete_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  for (std::size_t end = 0; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) {
    lines.push_back(text.substr(0, end));
  }
  return lines;
}

/// Names of what differs.
std::string differences(const Json& found, const Json& expected) {
  std::string names;
  for (const auto& [name, value] : expected.items()) {
    if (found.is_object() && found.contains(name) && found.at(name) == value) continue;
    names += (names.empty() ? "" : ", ") + name;
  }
  return names;
}

}  // namespace

ReplyFile::ReplyFile(std::filesystem::path path, const Json& origin, std::size_t lines_per_record)
    : path_(std::move(path)), partial_(path_.string() + ".partial"), lines_per_record_(lines_per_record) {
  descriptor_ = ::open(partial_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
  if (descriptor_ < 0) fail("create");
  struct stat status = {};
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    throw Error(ErrorCode::BadInput, fmt::format("{} is there, and is no file", partial_.string()),
                "name another file");
  }
  try {
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      throw Error(ErrorCode::Mismatch, fmt::format("another run is writing {}", partial_.string()),
                  "wait for it, or name another file");
    }
    read(origin);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

ReplyFile::~ReplyFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void ReplyFile::fail(const char* operation) const {
  const int error = errno;
  throw Error(ErrorCode::Io, fmt::format("cannot {} {}: {}", operation, partial_.string(), std::strerror(error)),
              error == ENOSPC ? "free some disk space and run the same command again"
                              : "check that the folder exists and may be written");
}

void ReplyFile::read(const Json& origin) {
  const std::string first = origin.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  const std::string content = read_file(partial_);
  std::vector<std::string_view> lines = complete_lines(content);
  first_line_bytes_ = first.size();
  if (lines.empty() && first.starts_with(content)) {
    // New, or killed within its first line.
    if (::ftruncate(descriptor_, 0) != 0) fail("write");
    write(first);
    return;
  }
  if (!content.starts_with(first)) {
    const Json found = lines.empty() ? Json() : Json::parse(lines.front(), nullptr, /*allow_exceptions=*/false);
    throw Error(ErrorCode::Mismatch,
                fmt::format("{} is the beginning of something else than is asked for; what differs: {}",
                            partial_.string(), differences(found, origin)),
                "name another file, or remove that one");
  }
  // After a power cut the end may be anything.
  std::size_t good = 1;
  while (good < lines.size() && Json::accept(lines[good])) ++good;
  lines.resize(1 + (good - 1) / lines_per_record_ * lines_per_record_);
  std::size_t bytes = 0;
  for (const std::string_view line : lines) bytes += line.size() + 1;
  if (::ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) fail("write");
  lines_.assign(lines.begin() + 1, lines.end());
}

void ReplyFile::write(std::string_view lines) {
  while (!lines.empty()) {
    const ssize_t written = ::write(descriptor_, lines.data(), lines.size());
    if (written < 0 && errno != EINTR) fail("write");
    if (written > 0) lines.remove_prefix(static_cast<std::size_t>(written));
  }
}

void ReplyFile::finish(const std::function<std::string(std::string_view)>& arrange) {
  const std::string content = read_file(partial_);
  const std::string_view lines = std::string_view(content).substr(first_line_bytes_);
  if (arrange) {
    write_file(path_, arrange(lines));
  } else {
    write_file(path_, lines);
  }
  ::unlink(partial_.c_str());
}

}  // namespace coala
