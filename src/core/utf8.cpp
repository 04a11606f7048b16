#include "core/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace coala {
namespace {

/// Length of the well-formed sequence that starts the text (1..4), or 0. Table 3-7 of the Unicode Standard.
std::size_t sequence_length(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto within = [&](std::size_t i, unsigned low, unsigned high) { return byte(i) >= low && byte(i) <= high; };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const std::size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (text.size() < length) return 0;
  const unsigned low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;   // no overlong forms
  const unsigned high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;  // no surrogates, at most U+10FFFF
  if (!within(1, low, high)) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if (!within(i, 0x80, 0xbf)) return 0;
  }
  return length;
}

}  // namespace

std::size_t find_invalid_utf8(std::string_view text) noexcept {
  std::size_t at = 0;
  while (at < text.size()) {
    // Eight ASCII bytes at a time: most text is ASCII, and this runs over every byte of every file.
    std::uint64_t word = 0;
    while (at + sizeof word <= text.size()) {
      std::memcpy(&word, text.data() + at, sizeof word);
      if ((word & 0x8080808080808080u) != 0) break;
      at += sizeof word;
    }
    if (at == text.size()) break;
    const std::size_t length = sequence_length(text.substr(at));
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string result;
  for (std::size_t bad = 0; (bad = find_invalid_utf8(text)) != std::string_view::npos;) {
    result += text.substr(0, bad);
    result += "\xef\xbf\xbd";
    while (bad < text.size() && sequence_length(text.substr(bad)) == 0) ++bad;
    text.remove_prefix(bad);
  }
  return result += text;
}

std::uint64_t count_characters(std::string_view text) noexcept {
  return static_cast<std::uint64_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = lower_case(c);
  return result;
}

bool is_blank(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), is_space);
}

std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::size_t control_length(std::string_view text) noexcept {
  if (text.empty()) return 0;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x20 || byte(0) == 0x7f) return 1;
  const std::size_t length = sequence_length(text);
  if (length == 2 && byte(0) == 0xc2 && byte(1) < 0xa0) return 2;
  if (length != 3 || byte(0) != 0xe2) return 0;
  const bool turns = (byte(1) == 0x80 && byte(2) >= 0xa8 && byte(2) <= 0xae) ||  // U+2028 to U+202E
                     (byte(1) == 0x81 && byte(2) >= 0xa6 && byte(2) <= 0xa9);    // U+2066 to U+2069
  return turns ? 3 : 0;
}

namespace {

/// Appends the character that the text begins with, escaped where it must be. @returns its bytes
std::size_t append_printable(std::string_view text, std::string& to) {
  const std::size_t length = sequence_length(text);
  if (length > 0 && control_length(text) == 0) {
    to += text.substr(0, length);
    return length;
  }
  if (text[0] == '\n' || text[0] == '\t') {
    to += text[0] == '\n' ? "\\n" : "\\t";
    return 1;
  }
  for (const char c : text.substr(0, std::max<std::size_t>(length, 1))) {
    to += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  return std::max<std::size_t>(length, 1);
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result;
  while (!text.empty()) text.remove_prefix(append_printable(text, result));
  return result;
}

std::string printable_lines(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    if (text[0] == '\n' || text[0] == '\t') {
      result += text[0];
      text.remove_prefix(1);
    } else {
      text.remove_prefix(append_printable(text, result));
    }
  }
  return result;
}

std::string quoted_text(std::string_view text, std::size_t limit) {
  std::string result = "\"";
  std::size_t at = 0;
  while (at < text.size() && at < limit) at += append_printable(text.substr(at), result);
  result += at < text.size() ? "...\"" : "\"";
  return result;
}

}  // namespace coala
