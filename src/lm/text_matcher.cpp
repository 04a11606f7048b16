#include "lm/text_matcher.h"

namespace coala {

TextMatcher::TextMatcher(std::span<const std::string> texts) {
  for (std::size_t number = 0; number < texts.size(); ++number) {
    if (texts[number].empty()) continue;
    std::uint32_t node = 0;
    for (const char c : texts[number]) {
      const std::uint64_t edge = std::uint64_t{node} << 8 | static_cast<unsigned char>(c);
      const auto [found, added] = edges_.emplace(edge, static_cast<std::uint32_t>(ends_.size()));
      if (added) ends_.push_back(kNone);
      node = found->second;
    }
    if (ends_[node] == kNone) ends_[node] = number;
    starts_[static_cast<unsigned char>(texts[number].front())] = true;
    ++count_;
  }
}

template <class Visit>
void TextMatcher::walk(std::string_view text, std::size_t at, const Visit& visit) const {
  if (at >= text.size() || !starts_[static_cast<unsigned char>(text[at])]) return;
  std::uint32_t node = 0;
  for (std::size_t end = at; end < text.size(); ++end) {
    const auto next = edges_.find(std::uint64_t{node} << 8 | static_cast<unsigned char>(text[end]));
    if (next == edges_.end()) return;
    node = next->second;
    if (ends_[node] != kNone) visit(ends_[node]);
  }
}

std::optional<std::size_t> TextMatcher::longest_at(std::string_view text, std::size_t at) const {
  std::optional<std::size_t> longest;
  walk(text, at, [&](std::size_t number) { longest = number; });
  return longest;
}

std::vector<TextMatcher::Match> TextMatcher::all_in(std::string_view text) const {
  std::vector<Match> matches;
  for (std::size_t at = next_start(text, 0); at < text.size(); at = next_start(text, at + 1)) {
    walk(text, at, [&](std::size_t number) { matches.push_back({at, number}); });
  }
  return matches;
}

std::size_t TextMatcher::next_start(std::string_view text, std::size_t from) const {
  while (from < text.size() && !starts_[static_cast<unsigned char>(text[from])]) ++from;
  return from;
}

}  // namespace coala
