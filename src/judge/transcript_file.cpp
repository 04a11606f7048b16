#include "judge/transcript_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/progress.h"
#include "core/utf8.h"

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
    read();
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

void TranscriptFile::read() {
  constexpr std::string_view kStart = "{\"coala_judgment\"";
  const std::string content = read_file(path_, std::size_t{1} << 34);
  if (!content.starts_with(kStart) && !kStart.starts_with(content)) {
    throw Error(ErrorCode::Mismatch, fmt::format("{} holds something else than a transcript", path_.string()),
                "name another --transcript");
  }
  const std::string_view text = content;
  std::size_t number = 0;
  while (bytes_ < text.size()) {
    const std::size_t end = text.find('\n', bytes_);
    if (end == std::string_view::npos) break;
    read_line(text.substr(bytes_, end - bytes_), ++number);
    bytes_ = end + 1;
  }
  const std::string_view rest = text.substr(bytes_);
  if (rest.empty()) return;
  if (Json::accept(rest) || (!rest.starts_with(kStart) && !kStart.starts_with(rest))) {
    read_line(rest, number + 1);  // what an editor has left without a line break, or nothing of ours
    if (::write(descriptor_, "\n", 1) != 1) fail("write");
    bytes_ = text.size() + 1;
    return;
  }
  log_warning(fmt::format(
      "{}: half a line at the end, of a run that was ended, is left out; its question is asked again", path_.string()));
  if (::ftruncate(descriptor_, static_cast<off_t>(bytes_)) != 0) fail("write");
}

void TranscriptFile::read_line(std::string_view text, std::size_t number) {
  Json line = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto has_text = [&line](const char* column) { return line.contains(column) && line[column].is_string(); };
  const char* expected = nullptr;
  if (!line.is_object() || !line.contains("coala_judgment")) {
    expected = "a JSON object with \"coala_judgment\"";
  } else if (!has_text("game") || !has_text("key") || !has_text("judge")) {
    expected = "\"game\", \"key\" and \"judge\", which are texts";
  } else if (line.contains("request") ? !has_text("answer") : !line.contains("mark") || !line["mark"].is_number()) {
    expected = "an \"answer\" that is a text, or a \"mark\" that is a number";
  } else if (line.contains("refused") &&
             (!line["refused"].is_object() || !line["refused"].value("status", Json()).is_number_integer() ||
              !line["refused"].value("message", Json()).is_string())) {
    expected = "a \"refused\" with \"status\" and \"message\"";
  }
  if (expected != nullptr) {
    throw Error(ErrorCode::BadInput,
                fmt::format("{}, line {} is {}; expected is {}", path_.string(), number, quoted_text(text), expected),
                "take the line out, and its question is asked again; or name another --transcript");
  }
  take(std::move(line));
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
  for (std::size_t written = 0; written < text.size();) {
    const ssize_t bytes = ::write(descriptor_, text.data() + written, text.size() - written);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) {
      const int error = errno;
      // No half line, on which another would stand. Where even this fails, the next start finds it.
      [[maybe_unused]] const int cut = ::ftruncate(descriptor_, static_cast<off_t>(bytes_));
      errno = error;
      fail("write");
    }
    written += static_cast<std::size_t>(bytes);
  }
  bytes_ += text.size();
  take(line);
}

bool TranscriptFile::has_answer_of(const std::string& judge) const {
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(games_, [&judge](const auto& game) {
    return game.second.at("judge") == judge && !game.second.contains("refused");
  });
}

std::uint64_t TranscriptFile::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

void TranscriptFile::cut_back(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (::ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) fail("write");
  bytes_ = bytes;
}

}  // namespace coala
