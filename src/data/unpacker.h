#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

namespace coala {

/// Unpacks a compressed file piece by piece.
class Unpacker {
 public:
  struct Step {
    std::size_t taken = 0;    ///< of the packed bytes
    std::size_t written = 0;  ///< to the output
  };

  virtual ~Unpacker() = default;
  /// Unpacks as far as the packed bytes and the output last.
  /// @throws Error{CorruptFile} naming the file
  virtual Step unpack(std::string_view packed, std::span<char> out) = 0;
  /// The file may end here. @throws Error{CorruptFile} when it may not
  virtual void finish() = 0;
};

/// By a file's first bytes, not by its name; null for one that is not packed in a way that is known. Several gzip
/// members or zstd frames in a row are one stream, as `cat a.gz b.gz` makes them.
/// @param path  for messages
std::unique_ptr<Unpacker> unpacker_for(std::string_view start, const std::filesystem::path& path);

}  // namespace coala
