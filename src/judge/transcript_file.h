#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace coala {

/// What judges were asked and answered, a JSON line each, only ever added to: a run that is killed loses nothing that
/// was answered. One run writes it at a time.
class TranscriptFile {
 public:
  /// Reads what is there. Half a line at the end, of a run that was killed, is cut off.
  /// @throws Error{Mismatch} when it holds something else, or another run writes it; Error{Io}
  explicit TranscriptFile(std::filesystem::path path);
  ~TranscriptFile();
  TranscriptFile(const TranscriptFile&) = delete;
  TranscriptFile& operator=(const TranscriptFile&) = delete;

  /// The line of a game; null: it has not been played.
  const nlohmann::ordered_json* game(const std::string& game) const;
  /// A line with the answer to the same request; null: it has never been asked.
  const nlohmann::ordered_json* answer(const std::string& key) const;
  /// Adds a line, from any thread. @param line  with "game" and "key"
  void add(const nlohmann::ordered_json& line);

 private:
  void take(nlohmann::ordered_json line);
  [[noreturn]] void fail(const char* operation) const;

  std::filesystem::path path_;
  int descriptor_ = -1;
  mutable std::mutex mutex_;
  std::map<std::string, nlohmann::ordered_json> games_;
  std::map<std::string, std::string> game_of_key_;
};

}  // namespace coala
