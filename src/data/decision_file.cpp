#include "data/decision_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/atomic_file.h"
#include "core/error.h"
#include "data/writer.h"

namespace coala {

DecisionFile::DecisionFile(const std::string& path) : path_(path) {
  constexpr std::string_view kLineStart = "{\"id\":";
  const std::string content = std::filesystem::exists(path) ? read_file(path) : std::string();
  const std::size_t whole = content.rfind('\n') + 1;
  for (std::size_t begin = 0; begin < whole;) {
    const std::size_t end = content.find('\n', begin);
    const auto line = nlohmann::json::parse(content.substr(begin, end - begin), nullptr, /*allow_exceptions=*/false);
    if (!line.is_object() || !line.contains("id") || !line["id"].is_string() || !line.contains("chosen")) refuse();
    known_.insert(line["id"].get<std::string>());
    begin = end + 1;
  }
  // Of a killed run the last line may be half.
  const std::string_view half = std::string_view(content).substr(whole);
  if (!half.starts_with(kLineStart) && !kLineStart.starts_with(half)) refuse();
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0 || (!half.empty() && ::ftruncate(descriptor_, static_cast<off_t>(whole)) != 0)) fail("open");
}

DecisionFile::~DecisionFile() {
  ::close(descriptor_);
}

void DecisionFile::add(const TwoAnswers& answers, int better) {
  Pair pair;
  pair.id = answers.id;
  pair.prompt = answers.prompt;
  pair.chosen = better > 0 ? answers.second : answers.first;
  pair.rejected = better > 0 ? answers.first : answers.second;
  if (better == 0) pair.weight = 0;
  const std::string line = to_json_line(pair) + "\n";
  const off_t before = ::lseek(descriptor_, 0, SEEK_END);
  if (::write(descriptor_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) fail("write");
  undo_.emplace_back(answers.id, before);
  known_.insert(answers.id);
}

bool DecisionFile::undo() {
  if (undo_.empty()) return false;
  if (::ftruncate(descriptor_, undo_.back().second) != 0) fail("write");
  known_.erase(undo_.back().first);
  undo_.pop_back();
  return true;
}

void DecisionFile::refuse() const {
  throw Error(ErrorCode::Mismatch, fmt::format("{} holds something else than decisions", path_), "name another file");
}

void DecisionFile::fail(const char* operation) const {
  throw Error(ErrorCode::Io, fmt::format("cannot {} {}: {}", operation, path_, std::strerror(errno)));
}

}  // namespace coala
