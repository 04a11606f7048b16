#pragma once

#include <string>

namespace coala {

/// The beginning of a text of well-formed UTF-8 that has more bytes than that, cut between characters, with an
/// ellipsis.
inline std::string shortened(const std::string& text, std::size_t longest_bytes) {
  if (text.size() <= longest_bytes) return text;
  std::size_t end = longest_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return text.substr(0, end) + " …";
}

}  // namespace coala
