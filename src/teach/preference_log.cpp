#include "teach/preference_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/atomic_file.h"
#include "core/disk_full.h"
#include "core/error.h"
#include "core/progress.h"
#include "data/writer.h"

namespace coala {
namespace {

/// How our own lines begin: none but an unfinished one of these is ever taken out of a file.
constexpr std::string_view kOwnLine = "{\"id\":\"lesson-";

[[noreturn]] void fail(const std::filesystem::path& path, const char* what, int error) {
  const std::string message = fmt::format("{}: {}: {}", path.string(), what, std::strerror(error));
  constexpr const char* kHint = "what was said before is still there";
  if (means_disk_full(error)) throw DiskFull(message, kHint);
  throw Error(ErrorCode::Io, message, kHint);
}

bool write_at(int descriptor, std::string_view text, std::uint64_t offset) {
  while (!text.empty()) {
    const ssize_t count = ::pwrite(descriptor, text.data(), text.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return ::fdatasync(descriptor) == 0;
}

/// A new name in a folder is on the disk when the folder is.
void flush_folder(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.parent_path().empty() ? std::filesystem::path(".") : path.parent_path();
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

std::vector<Record> read_records(const std::filesystem::path& path, RecordKind kind) {
  ReaderOptions own;
  own.shape = Shape::Coala;
  RecordReader reader({{path}, own});
  if (reader.kind() != kind) {
    throw Error(ErrorCode::BadInput,
                fmt::format("{} holds {}; expected {}", path.string(),
                            kind == RecordKind::Pair ? "labelled responses" : "pairs",
                            kind == RecordKind::Pair ? "pairs" : "labelled responses"),
                "name another file");
  }
  std::vector<Record> records;
  for (Record record; reader.next(record);) records.push_back(record);
  return records;
}

bool is_same(const Record& a, const Record& b) {
  if (const auto* pair = std::get_if<Pair>(&a)) {
    const auto* other = std::get_if<Pair>(&b);
    return other != nullptr && pair->id == other->id && pair->prompt == other->prompt &&
           pair->chosen == other->chosen && pair->rejected == other->rejected;
  }
  const auto& rated = std::get<Labelled>(a);
  const auto* other = std::get_if<Labelled>(&b);
  return other != nullptr && rated.id == other->id && rated.prompt == other->prompt &&
         rated.response == other->response && rated.label == other->label;
}

}  // namespace

PreferenceLog::PreferenceLog(std::filesystem::path path, RecordKind kind) : path_(std::move(path)), kind_(kind) {
  if (!std::filesystem::exists(path_)) return;
  open();
  try {
    read_file_text();
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

PreferenceLog::~PreferenceLog() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void PreferenceLog::open() {
  if (descriptor_ >= 0) return;
  const bool is_new = !std::filesystem::exists(path_);
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor_ < 0) fail(path_, "cannot be opened", errno);
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    ::close(std::exchange(descriptor_, -1));
    throw Error(ErrorCode::BadUsage, fmt::format("{} belongs to another process", path_.string()),
                "two servers cannot be taught into one file: name another");
  }
  if (is_new) flush_folder(path_);
}

void PreferenceLog::read_file_text() {
  text_ = read_file(path_, std::numeric_limits<std::size_t>::max());
  const std::size_t whole = text_.rfind('\n') + 1;
  const std::string_view rest = std::string_view(text_).substr(whole);
  const bool is_unfinished =
      !rest.empty() && (rest.starts_with(kOwnLine) || kOwnLine.starts_with(rest)) && !nlohmann::json::accept(rest);
  if (is_unfinished) {
    log_warning(
        fmt::format("{}: the last line is not complete; it was never accepted and is taken out", path_.string()));
    set_length(whole);
    text_.resize(whole);
  }
  if (text_.empty()) return;
  records_ = read_records(path_, kind_);
  const std::size_t lines = line_ends().size() + (text_.ends_with('\n') ? 0 : 1);
  if (lines != records_.size()) {
    throw Error(
        ErrorCode::BadInput,
        fmt::format("{} has {} lines and {} records of coala's own shape", path_.string(), lines, records_.size()),
        "coala prepare makes such a file of others");
  }
  if (text_.ends_with('\n')) return;
  if (!write_at(descriptor_, "\n", text_.size())) fail(path_, "cannot be written", errno);
  text_ += '\n';
}

/// Behind the line breaks, in bytes.
std::vector<std::size_t> PreferenceLog::line_ends() const {
  std::vector<std::size_t> ends;
  for (std::size_t at = text_.find('\n'); at != std::string::npos; at = text_.find('\n', at + 1)) {
    ends.push_back(at + 1);
  }
  return ends;
}

void PreferenceLog::set_length(std::uint64_t bytes) {
  if (::ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0 || ::fdatasync(descriptor_) != 0) {
    fail(path_, "cannot be shortened", errno);
  }
}

/// Is the file what we left, under the name that it had?
void PreferenceLog::check_unchanged() const {
  struct stat ours = {};
  struct stat named = {};
  const bool same = ::fstat(descriptor_, &ours) == 0 && ::stat(path_.c_str(), &named) == 0 &&
                    ours.st_ino == named.st_ino && ours.st_dev == named.st_dev &&
                    static_cast<std::size_t>(ours.st_size) == text_.size();
  if (same) return;
  throw Error(ErrorCode::Io, fmt::format("{} was changed by somebody else", path_.string()),
              "nothing more is written to it: start the server again");
}

void PreferenceLog::check(const Record& record) const {
  std::filesystem::path trial = path_;
  trial += ".trial";
  write_file(trial, to_json_line(record) + "\n");
  std::vector<Record> read;
  std::string reason = "it would be read as something else";
  try {
    read = read_records(trial, kind_);
  } catch (const Error& error) {
    reason = error.what();
  }
  std::error_code ignored;
  std::filesystem::remove(trial, ignored);
  if (read.size() == 1 && is_same(record, read.front())) return;
  throw Error(ErrorCode::BadInput, fmt::format("the lesson cannot be kept as data: {}", reason),
              "its texts must be words, and the conversation end with a question");
}

void PreferenceLog::add(const Record& record) {
  open();
  check_unchanged();
  const std::string line = to_json_line(record) + "\n";
  if (!write_at(descriptor_, line, text_.size())) {
    const int error = errno;
    if (::ftruncate(descriptor_, static_cast<off_t>(text_.size())) != 0) {
      log_warning(fmt::format("{} cannot be shortened: {}", path_.string(), std::strerror(errno)));
    }
    fail(path_, "cannot be written", error);
  }
  records_.push_back(record);
  text_ += line;
}

void PreferenceLog::remove_last() {
  if (records_.empty()) throw Error(ErrorCode::BadUsage, fmt::format("{} is empty", path_.string()));
  check_unchanged();
  const std::vector<std::size_t> ends = line_ends();
  const std::size_t length = ends.size() > 1 ? ends[ends.size() - 2] : 0;
  set_length(length);
  records_.pop_back();
  text_.resize(length);
}

}  // namespace coala
