#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace coala {

/// Offset of the first byte that is not part of well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing
/// above U+10FFFF), or npos. A sequence cut short by the end counts as malformed at its first byte.
std::size_t find_invalid_utf8(std::string_view text) noexcept;

/// The text with one U+FFFD in place of each run of bytes that find_invalid_utf8() would stop at.
std::string replace_invalid_utf8(std::string_view text);

/// Number of characters (code points) of well-formed UTF-8.
std::uint64_t count_characters(std::string_view text) noexcept;

/// ASCII white space only: it is what separates words in every encoding of a data file, and its bytes never occur
/// inside a longer UTF-8 sequence.
constexpr bool is_space(char c) noexcept {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

// Letters and digits of ASCII, whatever the locale; every other character is neither.

constexpr bool is_upper_case(char c) noexcept {
  return c >= 'A' && c <= 'Z';
}
constexpr char lower_case(char c) noexcept {
  return is_upper_case(c) ? static_cast<char>(c - 'A' + 'a') : c;
}
constexpr bool is_letter_or_digit(char c) noexcept {
  return (lower_case(c) >= 'a' && lower_case(c) <= 'z') || (c >= '0' && c <= '9');
}
std::string lower_case(std::string_view text);

/// Whether nothing but white space is in the text.
bool is_blank(std::string_view text) noexcept;

/// The text without white space at both ends.
std::string_view trimmed(std::string_view text) noexcept;

/// Bytes of the control character that the text begins with, 0 when it begins with none: below U+0020, U+007F, U+0080
/// to U+009F, which some terminals obey too, and those that turn the direction of what is around them (U+202A to
/// U+202E, U+2066 to U+2069) or end a line (U+2028, U+2029).
std::size_t control_length(std::string_view text) noexcept;

/// The text as it may go to a terminal, wherever it came from: control characters and malformed bytes escaped.
std::string printable(std::string_view text);
/// The same with line breaks and tabs as they are, for text of several lines.
std::string printable_lines(std::string_view text);

/// printable() in double quotes, and cut to about `limit` bytes between characters.
std::string quoted_text(std::string_view text, std::size_t limit = 60);

}  // namespace coala
