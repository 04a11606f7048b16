#pragma once

#include <cstdint>
#include <string_view>

namespace coala {

/// Follows a chunked body while it is read, and says where it is not packed as RFC 9112 (7.1) has it: the library
/// (0.11) reads sizes as strtoul() does, takes lines without a CR, and overlooks what stands behind a chunk's data.
class ChunkFraming {
 public:
  /// @param bytes  the next ones
  /// @return whether they are right; false from the first wrong byte on, and behind the end of the body
  bool follow(std::string_view bytes);

 private:
  enum class At { FirstDigit, Digit, Extension, SizeEnd, Data, DataReturn, DataEnd, LastReturn, LastEnd, Over, Wrong };
  At after(char byte);

  At at_ = At::FirstDigit;
  std::uint64_t size_ = 0;  ///< bytes of the chunk that are still to come
};

}  // namespace coala
