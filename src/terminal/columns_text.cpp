#include "terminal/columns_text.h"

#include <algorithm>

#include "core/utf8.h"

namespace coala {
namespace {

/// Bytes of the first `count` characters.
std::size_t bytes_of(std::string_view text, std::size_t count) {
  std::size_t bytes = 0;
  while (bytes < text.size()) {
    const bool starts = (static_cast<unsigned char>(text[bytes]) & 0xc0u) != 0x80u;
    if (starts && count-- == 0) break;
    ++bytes;
  }
  return bytes;
}

void wrap_line(std::string_view line, std::size_t width, std::vector<std::string>& lines) {
  for (;;) {
    std::size_t bytes = bytes_of(line, width);
    if (bytes == line.size()) break;
    const std::size_t space = line.substr(0, bytes + 1).rfind(' ');
    if (space != std::string_view::npos && space > 0) bytes = space;
    lines.emplace_back(line.substr(0, bytes));
    line.remove_prefix(bytes);
    if (line.starts_with(' ')) line.remove_prefix(1);
  }
  lines.emplace_back(line);
}

}  // namespace

std::vector<std::string> wrapped(std::string_view text, std::size_t width) {
  const std::string shown = printable_lines(text);
  std::vector<std::string> lines;
  for (std::string_view rest = shown;;) {
    const std::size_t end = rest.find('\n');
    wrap_line(rest.substr(0, end), width, lines);
    if (end == std::string_view::npos) return lines;
    rest.remove_prefix(end + 1);
  }
}

std::string side_by_side(std::string_view left, std::string_view right, std::size_t width) {
  const std::size_t half = std::max<std::size_t>(width, 23) / 2 - 2;
  const std::vector<std::string> a = wrapped(left, half);
  const std::vector<std::string> b = wrapped(right, half);
  std::string text;
  for (std::size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    const std::string& first = i < a.size() ? a[i] : std::string();
    text += first + std::string(half - std::min<std::size_t>(half, count_characters(first)), ' ') + " | " +
            (i < b.size() ? b[i] : "") + "\n";
  }
  return text;
}

}  // namespace coala
