#include "lm/content_shield.h"

#include <algorithm>
#include <optional>

#include "core/error.h"

namespace coala {
namespace {

/// The private-use plane U+F0000 to U+FFFFF: four bytes, F3 B0 80 80 to F3 BF BF BF; its last two are no characters.
constexpr std::size_t kStandIns = 0xFFFE;
constexpr std::size_t kStandIn_bytes = 4;

std::string stand_in_character(std::size_t number) {
  return {'\xF3', static_cast<char>(0xB0 | (number >> 12)), static_cast<char>(0x80 | (number >> 6 & 0x3F)),
          static_cast<char>(0x80 | (number & 0x3F))};
}

/// The number of the stand-in that a text starts with.
std::optional<std::size_t> stand_in_number(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (text.size() < kStandIn_bytes || byte(0) != 0xF3 || byte(1) < 0xB0 || byte(1) > 0xBF) return std::nullopt;
  return (byte(1) & 0x0Fu) << 12 | (byte(2) & 0x3Fu) << 6 | (byte(3) & 0x3Fu);
}

}  // namespace

ContentShield::ContentShield(std::span<const std::string> control_texts, const TextMatcher& matcher)
    : control_texts_(control_texts), matcher_(matcher) {}

const std::string& ContentShield::stand_in(std::string_view text) {
  if (const auto found = stand_ins_.find(text); found != stand_ins_.end()) return found->second;
  if (covered_.size() == kStandIns) {
    throw Error(ErrorCode::BadInput, "a conversation has too many different private-use characters",
                "leave the conversation out");
  }
  const std::string character = stand_in_character(covered_.size());
  covered_.emplace_back(text);
  return stand_ins_.emplace(text, character).first->second;
}

std::string ContentShield::cover(const std::string& content) {
  std::string result;
  const std::string_view text = content;
  const auto own_from = [text](std::size_t at) { return std::min(text.find('\xF3', at), text.size()); };
  std::size_t own = own_from(0);  // where the next stand-in of the user's may be
  for (std::size_t at = 0; at < text.size();) {
    if (own < at) own = own_from(at);
    const std::size_t next = std::min(matcher_.next_start(text, at), own);
    result.append(text, at, next - at);
    at = next;
    if (at == text.size()) break;
    std::size_t bytes = 0;
    if (const auto control = matcher_.longest_at(text, at)) {
      bytes = control_texts_[*control].size();
    } else if (stand_in_number(text.substr(at))) {
      bytes = kStandIn_bytes;  // one that the user wrote: it stands for itself
    }
    if (bytes > 0) {
      result += stand_in(text.substr(at, bytes));
    } else {
      result += text[at];
      bytes = 1;
    }
    at += bytes;
  }
  return result;
}

std::vector<TextPart> ContentShield::uncover(std::vector<TextPart> parts) const {
  if (covered_.empty()) return parts;
  std::vector<TextPart> result;
  for (const TextPart& part : parts) {
    std::string_view rest = part.text;
    std::size_t plain = 0;  // bytes in front of the next stand-in
    const auto take_plain = [&] {
      if (plain > 0) result.push_back({std::string(rest.substr(0, plain)), part.from_user});
      rest.remove_prefix(plain);
      plain = 0;
    };
    while (plain < rest.size()) {
      const auto number = stand_in_number(rest.substr(plain));
      if (!number || *number >= covered_.size()) {
        ++plain;
        continue;
      }
      take_plain();
      result.push_back({covered_[*number], true});
      rest.remove_prefix(kStandIn_bytes);
    }
    take_plain();
  }
  return result;
}

}  // namespace coala
