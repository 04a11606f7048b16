#include "decode/stop_strings.h"

#include <algorithm>

namespace coala {

std::size_t find_stop(std::string_view text, std::span<const std::string> stops) {
  std::size_t first = std::string_view::npos;
  for (const std::string& stop : stops) first = std::min(first, text.find(stop));
  return first;
}

std::size_t broken_bytes(std::string_view text) {
  constexpr std::string_view kReplacement = "\xef\xbf\xbd";
  return text.ends_with(kReplacement) ? kReplacement.size() : 0;
}

std::size_t unsettled_bytes(std::string_view text, std::span<const std::string> stops) {
  const std::size_t broken = broken_bytes(text);
  const std::string_view whole = text.substr(0, text.size() - broken);
  std::size_t longest = 0;
  for (const std::string& stop : stops) {
    for (std::size_t bytes = std::min(stop.size() - 1, whole.size()); bytes > longest; --bytes) {
      if (whole.ends_with(std::string_view(stop).substr(0, bytes))) longest = bytes;
    }
  }
  return longest + broken;
}

}  // namespace coala
