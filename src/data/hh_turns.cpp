#include "data/hh_turns.h"

#include <algorithm>

#include "core/utf8.h"

namespace coala {
namespace {

constexpr std::string_view kHuman = "Human:";
constexpr std::string_view kAssistant = "Assistant:";

/// A turn's marker: where it starts and where the text after it starts.
struct Marker {
  std::size_t begin = std::string_view::npos;
  std::size_t end = 0;
  const char* role = nullptr;
};

Marker find_marker(std::string_view text, std::size_t from) {
  for (std::size_t at = text.find("\n\n", from); at != std::string_view::npos; at = text.find("\n\n", at + 1)) {
    const std::string_view rest = text.substr(at + 2);
    if (rest.starts_with(kHuman)) return {at, at + 2 + kHuman.size(), "user"};
    if (rest.starts_with(kAssistant)) return {at, at + 2 + kAssistant.size(), "assistant"};
  }
  return {};
}

}  // namespace

bool looks_like_hh(std::string_view text) noexcept {
  const std::string_view start = trimmed(text);
  return start.starts_with(kHuman) || start.starts_with(kAssistant);
}

bool is_hh_dialogue(std::string_view text) noexcept {
  return looks_like_hh(text) && (text.starts_with("\n\n") || text.find("\n\nAssistant:") != text.npos);
}

std::vector<Message> parse_hh_turns(std::string_view text) {
  std::vector<Message> turns;
  if (!looks_like_hh(text)) return turns;
  // The first marker may lack its line breaks; the others need them, since "Human:" may well stand inside a turn.
  const std::size_t start =
      static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_space) - text.begin());
  const bool human = text.substr(start).starts_with(kHuman);
  Marker marker{start, start + (human ? kHuman : kAssistant).size(), human ? "user" : "assistant"};
  while (marker.role != nullptr) {
    const Marker next = find_marker(text, marker.end);
    std::string_view content = text.substr(marker.end, std::min(next.begin, text.size()) - marker.end);
    if (content.starts_with(' ')) content.remove_prefix(1);
    turns.push_back({marker.role, std::string(content)});
    marker = next;
  }
  return turns;
}

std::string join_hh_turns(const std::vector<Message>& turns, std::size_t first) {
  std::string text;
  for (std::size_t i = first; i < turns.size(); ++i) {
    if (i > first) {
      text += "\n\n";
      text += turns[i].role == "user" ? kHuman : kAssistant;
      text += ' ';
    }
    text += turns[i].content;
  }
  return text;
}

}  // namespace coala
