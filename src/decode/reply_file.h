#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace coala {

/// Lines that come slowly, in a file that grows beside the final one until it is complete: `<path>.partial`, whose
/// first line says what the others belong to. A run that was stopped or killed is gone on with by the next one.
class ReplyFile {
 public:
  /// Opens the partial file or begins one. A line at its end that is not complete is dropped, and so are lines of a
  /// record that has not got all of its own.
  /// @param origin            what the lines depend on: flat, names and texts
  /// @param lines_per_record  how many belong together
  /// @throws Error{Mismatch} when there is a partial file of something else, or another run writes it; Error{Io}
  ReplyFile(std::filesystem::path path, const nlohmann::ordered_json& origin, std::size_t lines_per_record);
  ~ReplyFile();
  ReplyFile(const ReplyFile&) = delete;
  ReplyFile& operator=(const ReplyFile&) = delete;

  std::size_t records() const { return lines_.size() / lines_per_record_; }  ///< that were there already
  const std::vector<std::string>& lines() const { return lines_; }           ///< theirs

  /// Appends the lines of a record. @throws Error{Io}
  void write(std::string_view lines);
  /// Makes the final file of all lines and removes the partial one. @throws Error{Io}
  /// @param arrange  makes the final file's content of the lines'; absent: the lines as they are
  void finish(const std::function<std::string(std::string_view lines)>& arrange = {});

 private:
  void read(const nlohmann::ordered_json& origin);
  [[noreturn]] void fail(const char* operation) const;

  std::filesystem::path path_;
  std::filesystem::path partial_;
  std::size_t lines_per_record_;
  std::vector<std::string> lines_;
  std::size_t first_line_bytes_ = 0;
  int descriptor_ = -1;
};

}  // namespace coala
