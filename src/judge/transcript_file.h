#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coala {

/// What judges were asked and answered, a JSON line each, only ever added to: a run that is killed loses nothing that
/// was answered. One run writes it at a time.
class TranscriptFile {
 public:
  /// Reads what is there. Half a line at the end, of a run that was killed, is cut off, and said.
  /// @throws Error{Mismatch} when it holds something else, or another run writes it; Error{BadInput} naming the line
  ///   that is none; Error{Io}
  explicit TranscriptFile(std::filesystem::path path);
  ~TranscriptFile();
  TranscriptFile(const TranscriptFile&) = delete;
  TranscriptFile& operator=(const TranscriptFile&) = delete;

  /// The line of a game; null: it has not been played.
  const nlohmann::ordered_json* game(const std::string& game) const;
  /// A line with the answer to the same request; null: it has never been asked.
  const nlohmann::ordered_json* answer(const std::string& key) const;
  /// Whether a judge has answered anything: something that is no refusal.
  bool has_answer_of(const std::string& judge) const;
  /// Adds a line, from any thread. Where there is no room for the whole line there is none of it.
  /// @param line  with "game" and "key" @throws Error{Io}
  void add(const nlohmann::ordered_json& line);

  /// Takes the lines back that were added since the file had so many bytes. For a run that ends: the object still
  /// knows them. @throws Error{Io}
  void cut_back(std::uint64_t bytes);
  std::uint64_t bytes() const;

 private:
  void read();
  void read_line(std::string_view text, std::size_t number);
  void take(nlohmann::ordered_json line);
  [[noreturn]] void fail(const char* operation) const;

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t bytes_ = 0;  ///< of whole lines
  mutable std::mutex mutex_;
  std::map<std::string, nlohmann::ordered_json> games_;
  std::map<std::string, std::string> game_of_key_;
};

}  // namespace coala
