#include "data/nesting_scanner.h"

namespace coala {

NestingScanner::Step NestingScanner::scan(std::string_view piece) noexcept {
  for (std::size_t i = 0; i < piece.size(); ++i) {
    const char c = piece[i];
    if (in_string_) {
      if (c == '\n') return {State::BreakInString, i + 1};
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
      }
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      if (++depth_ > kMaxDepth) return {State::TooDeep, i + 1};
    } else if (c == '}' || c == ']') {
      if (--depth_ <= 0) return {State::Closed, i + 1};
    }
  }
  return {State::Open, piece.size()};
}

}  // namespace coala
