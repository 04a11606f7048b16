#include "teach/preference_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/progress.h"
#include "data/writer.h"

namespace coala {
namespace {

Error io_error(const std::filesystem::path& path, const char* what) {
  return Error(ErrorCode::Io, fmt::format("{}: {}: {}", path.string(), what, std::strerror(errno)),
               "what was said before is still there");
}

/// A file that is open for writing.
class Descriptor {
 public:
  explicit Descriptor(const std::filesystem::path& path)
      : number_(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) {
    if (number_ < 0) throw io_error(path, "cannot be opened");
  }
  ~Descriptor() { ::close(number_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

bool write_at(int descriptor, const std::string& text, std::uint64_t offset) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t count =
        ::pwrite(descriptor, text.data() + done, text.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    done += static_cast<std::size_t>(count);
  }
  return ::fdatasync(descriptor) == 0;
}

}  // namespace

PreferenceLog::PreferenceLog(std::filesystem::path path, RecordKind kind) : path_(std::move(path)) {
  if (!std::filesystem::exists(path_)) return;
  std::string content = read_file(path_);
  if (const std::size_t whole = content.rfind('\n') + 1; whole < content.size()) {
    log_warning(
        fmt::format("{}: the last line is not complete; it was never accepted and is taken out", path_.string()));
    cut(whole);
    content.resize(whole);
  }
  if (content.empty()) return;
  RecordReader reader({{path_}, {}});
  if (reader.kind() != kind) {
    throw Error(ErrorCode::BadInput,
                fmt::format("{} holds {}; expected {}", path_.string(),
                            kind == RecordKind::Pair ? "labelled responses" : "pairs",
                            kind == RecordKind::Pair ? "pairs" : "labelled responses"),
                "name another file");
  }
  for (Record record; reader.next(record);) records_.push_back(record);
  for (std::size_t at = content.find('\n'); at != std::string::npos; at = content.find('\n', at + 1)) {
    ends_.push_back(at + 1);
  }
  if (ends_.size() != records_.size()) {
    throw Error(ErrorCode::BadInput,
                fmt::format("{} has {} lines and {} records of coala's own shape", path_.string(), ends_.size(),
                            records_.size()),
                "coala prepare makes such a file of others");
  }
}

void PreferenceLog::cut(std::uint64_t bytes) {
  const Descriptor file(path_);
  if (::ftruncate(file.number(), static_cast<off_t>(bytes)) != 0 || ::fdatasync(file.number()) != 0) {
    throw io_error(path_, "cannot be shortened");
  }
}

void PreferenceLog::add(const Record& record) {
  const std::uint64_t end = ends_.empty() ? 0 : ends_.back();
  const std::string line = to_json_line(record) + "\n";
  {
    const Descriptor file(path_);
    if (!write_at(file.number(), line, end)) {
      const Error error = io_error(path_, "cannot be written");
      if (::ftruncate(file.number(), static_cast<off_t>(end)) != 0) log_warning(error.what());
      throw Error(error);
    }
  }
  records_.push_back(record);
  ends_.push_back(end + line.size());
}

void PreferenceLog::remove_last() {
  if (records_.empty()) throw Error(ErrorCode::BadUsage, fmt::format("{} is empty", path_.string()));
  cut(ends_.size() > 1 ? ends_[ends_.size() - 2] : 0);
  records_.pop_back();
  ends_.pop_back();
}

}  // namespace coala
