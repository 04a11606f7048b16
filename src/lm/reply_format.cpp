#include "lm/reply_format.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/utf8.h"

namespace coala {
namespace {

constexpr std::string_view kBlank = " \t\r\n";
constexpr std::size_t kNone = std::string_view::npos;

/// Names of tags that surround thoughts; part of the name is enough ("mm:think", "seed:think").
constexpr std::array<std::string_view, 3> kThoughts{"think", "thought", "reason"};

std::string_view without_blank_front(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kBlank);
  return begin == kNone ? std::string_view() : text.substr(begin);
}

/// The pieces as one text, marks included, and where the marks are.
struct MarkedText {
  std::string text;
  std::vector<std::pair<std::size_t, std::size_t>> marks;  ///< begin and end, in order

  explicit MarkedText(std::span<const ReplyPiece> pieces) {
    for (const ReplyPiece& piece : pieces) {
      if (piece.is_mark) marks.emplace_back(text.size(), text.size() + piece.text.size());
      text += piece.text;
    }
  }
  /// What is between two places, without the marks.
  std::string plain(std::size_t begin, std::size_t end) const {
    std::string result;
    for (const auto& [mark_begin, mark_end] : marks) {
      if (mark_begin >= end) break;
      if (mark_end <= begin) continue;
      if (mark_begin > begin) result.append(text, begin, mark_begin - begin);
      begin = mark_end;
    }
    if (begin < end) result.append(text, begin, end - begin);
    return result;
  }
};

/// Messages, each "<|channel|>NAME<|message|>TEXT<|end|>"; those on the channel "final", or on none, are the answer.
ReplyText split_channels(std::span<const ReplyPiece> pieces, bool thinking) {
  ReplyText reply;
  std::string header = thinking ? "analysis" : "final";
  bool in_header = false;
  const auto add = [&](std::string& to, std::string_view text, bool starts) {
    if (starts && !to.empty() && !trimmed(text).empty()) to += "\n";
    to += text;
  };
  bool starts = true;
  for (const ReplyPiece& piece : pieces) {
    if (piece.text == "<|start|>" || piece.text == "<|channel|>") {
      if (!in_header || piece.text == "<|channel|>") header.clear();
      in_header = true;
    } else if (piece.text == "<|message|>") {
      in_header = false;
      starts = true;
    } else if (piece.text == "<|end|>" || piece.text == "<|return|>" || piece.text == "<|call|>") {
      header = "none";
      starts = true;
    } else if (in_header) {
      header += piece.is_mark ? std::string(" ") : piece.text;
    } else if (!piece.is_mark) {
      const bool is_answer =
          header.find("final") != kNone || trimmed(header) == "none" || trimmed(header) == "assistant";
      add(is_answer ? reply.answer : reply.reasoning, piece.text, starts);
      starts = false;
    }
  }
  // A header without an end is text as well: "assistantfinalFour." of a model that leaves the marks out.
  if (in_header) {
    const std::size_t name = header.find("final");
    const std::string rest = name == kNone ? header : header.substr(name + 5);
    const bool is_name = trimmed(rest) == "assistant" || trimmed(rest) == "analysis" || trimmed(rest) == "commentary";
    if (!trimmed(rest).empty() && !is_name) add(name == kNone ? reply.reasoning : reply.answer, rest, true);
  }
  return reply;
}

}  // namespace

bool names_thoughts(std::string_view tag) {
  const std::string name = lower_case(tag);
  return std::ranges::any_of(kThoughts, [&](std::string_view thought) { return name.find(thought) != kNone; });
}

std::string_view opening_tag(std::string_view text) {
  const std::string_view core = trimmed(text);
  if (core.empty() || (core.back() != '>' && core.back() != ']')) return {};
  const std::size_t begin = core.rfind(core.back() == '>' ? '<' : '[');
  if (begin == kNone) return {};
  const std::string_view tag = core.substr(begin);
  const std::string name = lower_case(tag);
  const bool closes = name.size() < 3 || name[1] == '/' || name.find("end") != kNone || name.find("close") != kNone;
  if (closes || !names_thoughts(tag)) return {};
  return text.substr(static_cast<std::size_t>(tag.data() - text.data()));
}

std::string closing_tag(std::string_view tag) {
  tag = trimmed(tag);
  if (tag.size() < 3 || (tag.front() != '<' && tag.front() != '[')) return {};
  if (const std::size_t start = tag.find("START"); start != kNone) {
    return std::string(tag.substr(0, start)) + "END" + std::string(tag.substr(start + 5));
  }
  return std::string(1, tag.front()) + "/" + std::string(tag.substr(1));
}

ReplyText ReplyFormat::split(std::span<const ReplyPiece> pieces, bool thinking) const {
  if (channels) return split_channels(pieces, thinking);
  const MarkedText marked(pieces);
  const std::string_view text = marked.text;
  const std::size_t first = std::min(text.find_first_not_of(kBlank), text.size());
  // What the template writes, and what most models write whatever their template says.
  const std::array<std::string, 2> opens{open, "<think>"};
  std::array<std::vector<std::string>, 2> ends;
  if (!between.empty()) {
    ends[0].push_back(between);
    // A model may leave the header out: the part up to the end of the first tag does as well.
    const std::size_t tag_end = between.find_first_of(">]");
    if (tag_end != kNone && tag_end + 1 < between.size()) ends[0].push_back(between.substr(0, tag_end + 1));
  } else if (const std::string tag = closing_tag(open); !tag.empty()) {
    ends[0].push_back(tag);
  }
  ends[1].push_back("</think>");
  for (std::size_t kind = 0; kind < opens.size(); ++kind) {
    const bool opened = !opens[kind].empty() && text.substr(first).starts_with(opens[kind]);
    const std::size_t begin = opened ? first + opens[kind].size() : 0;
    for (const std::string& end : ends[kind]) {
      const std::size_t at = text.find(end, begin);
      // A tag that closes what nobody opened here was opened in the prompt.
      const bool closes_prompts = thinking || (kind == 0 && closing_tag(open) == end);
      if (at == kNone || (!opened && !closes_prompts)) continue;
      std::string answer = marked.plain(at + end.size(), text.size());
      return {std::string(trimmed(marked.plain(begin, at))), std::string(without_blank_front(answer))};
    }
    if (opened) return {std::string(trimmed(marked.plain(begin, text.size()))), ""};
  }
  const std::string whole = marked.plain(0, text.size());
  if (thinking) return {std::string(trimmed(whole)), ""};
  return {"", whole};
}

bool ReplyFormat::may_change(std::string_view answer) const {
  const std::string_view begun = without_blank_front(answer);
  return begun.empty() || (!open.empty() && open.starts_with(begun)) || std::string_view("<think>").starts_with(begun);
}

}  // namespace coala
