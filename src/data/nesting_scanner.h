#pragma once

#include <cstddef>
#include <string_view>

namespace coala {

/// Follows brackets and strings through the text of one JSON object or array, fed in pieces, to find where it ends and
/// how deep it goes before a parser sees it. It does not tell '[' from '{' and does not judge anything else.
class NestingScanner {
 public:
  static constexpr int kMaxDepth = 64;  ///< a record that means something has about 5

  enum class State {
    Open,           ///< not closed yet
    Closed,         ///< the last byte used closed it
    TooDeep,        ///< the last byte used opened bracket kMaxDepth + 1
    BreakInString,  ///< the last byte used is a line break inside a string, which JSON forbids
  };
  struct Step {
    State state;
    std::size_t used;  ///< bytes of the piece
  };

  void reset() { *this = NestingScanner(); }
  /// Reads on until the state is no longer Open or the piece ends.
  Step scan(std::string_view piece) noexcept;

 private:
  int depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
};

}  // namespace coala
