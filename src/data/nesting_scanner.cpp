#include "data/nesting_scanner.h"

#include <algorithm>

namespace coala {
namespace {

/// Bytes before the first quote, backslash or line break: most of a text is none of these.
std::size_t plain_length(std::string_view text) noexcept {
  std::size_t length = std::min(text.find('"'), text.size());
  length = std::min(text.substr(0, length).find('\\'), length);
  return std::min(text.substr(0, length).find('\n'), length);
}

}  // namespace

NestingScanner::Step NestingScanner::scan(std::string_view piece) noexcept {
  for (std::size_t i = 0; i < piece.size(); ++i) {
    if (in_string_ && !escaped_) {
      i += plain_length(piece.substr(i));
      if (i == piece.size()) break;
    }
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
