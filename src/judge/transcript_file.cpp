#include "judge/transcript_file.h"

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

using Json = nlohmann::ordered_json;

TranscriptFile::TranscriptFile(std::filesystem::path path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0644);
  if (descriptor_ < 0) fail("open");
  try {
    struct stat status = {};
    if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
      throw Error(ErrorCode::BadInput, fmt::format("{} is no file", path_.string()), "name another --transcript");
    }
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      throw Error(ErrorCode::Mismatch, fmt::format("another run is writing {}", path_.string()),
                  "wait for it, or name another --transcript");
    }
    const std::string content = read_file(path_, std::size_t{1} << 34);
    const std::size_t whole = content.rfind('\n') + 1;
    for (std::size_t begin = 0; begin < whole;) {
      const std::size_t end = content.find('\n', begin);
      Json line = Json::parse(content.substr(begin, end - begin), nullptr, /*allow_exceptions=*/false);
      if (!line.is_object() || !line.contains("coala_judgment") || !line.contains("game") || !line.contains("key")) {
        throw Error(ErrorCode::Mismatch, fmt::format("{} holds something else than a transcript", path_.string()),
                    "name another --transcript");
      }
      take(std::move(line));
      begin = end + 1;
    }
    // Of a killed run: the beginning of a line of ours, and of nothing else.
    constexpr std::string_view kStart = "{\"coala_judgment\"";
    const std::string_view half = std::string_view(content).substr(whole);
    if (!half.starts_with(kStart) && !kStart.starts_with(half)) {
      throw Error(ErrorCode::Mismatch, fmt::format("{} holds something else than a transcript", path_.string()),
                  "name another --transcript");
    }
    if (!half.empty() && ::ftruncate(descriptor_, static_cast<off_t>(whole)) != 0) fail("write");
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

TranscriptFile::~TranscriptFile() {
  ::close(descriptor_);
}

void TranscriptFile::fail(const char* operation) const {
  throw Error(ErrorCode::Io, fmt::format("cannot {} {}: {}", operation, path_.string(), std::strerror(errno)));
}

void TranscriptFile::take(Json line) {
  const std::string game = line.at("game").get<std::string>();
  game_of_key_.try_emplace(line.at("key").get<std::string>(), game);
  games_.insert_or_assign(game, std::move(line));
}

const Json* TranscriptFile::game(const std::string& game) const {
  const std::lock_guard lock(mutex_);
  const auto at = games_.find(game);
  return at == games_.end() ? nullptr : &at->second;
}

const Json* TranscriptFile::answer(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto at = game_of_key_.find(key);
  return at == game_of_key_.end() ? nullptr : &games_.at(at->second);
}

void TranscriptFile::add(const Json& line) {
  const std::string text = line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  const std::lock_guard lock(mutex_);
  if (::write(descriptor_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) fail("write");
  take(line);
}

}  // namespace coala
