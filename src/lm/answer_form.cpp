#include "lm/answer_form.h"

#include <algorithm>
#include <string_view>

#include "core/utf8.h"

namespace coala {
namespace {

constexpr std::size_t kNone = std::string_view::npos;

/// Length of what two texts share at their beginning, without a mark such as "<think>" that they share in part only.
std::size_t common_bytes(std::string_view a, std::string_view b) {
  const std::size_t most = std::min(a.size(), b.size());
  const auto end = a.begin() + static_cast<std::ptrdiff_t>(most);
  auto bytes = static_cast<std::size_t>(std::mismatch(a.begin(), end, b.begin()).first - a.begin());
  if (bytes == a.size() || bytes == b.size()) return bytes;
  const std::string_view common = a.substr(0, bytes);
  for (const auto& [open, close] : {std::pair{'<', '>'}, std::pair{'[', ']'}}) {
    const std::size_t opened = common.rfind(open);
    if (opened != kNone && common.find(close, opened) == kNone) bytes = std::min(bytes, opened);
  }
  return bytes;
}

/// The text in front of the answer; all of it when there is no answer in it.
std::string_view before_answer(const RenderedAnswers& rendered) {
  return std::string_view(rendered.answer).substr(0, rendered.answer.rfind(kAnswer));
}

/// What the template writes between thoughts and answer; "" when it does not know thoughts.
std::string between_thoughts_and_answer(const RenderedAnswers& rendered) {
  const std::size_t thoughts = rendered.thought.find(kThoughts);
  if (thoughts == kNone) return {};
  const std::size_t begin = thoughts + std::string_view(kThoughts).size();
  const std::size_t answer = rendered.thought.find(kAnswer, begin);
  return answer == kNone ? std::string() : rendered.thought.substr(begin, answer - begin);
}

/// What the prompt has and the answer lacks.
std::string_view only_in_prompt(const RenderedAnswers& rendered) {
  const std::string_view prompt = rendered.prompt;
  return prompt.substr(common_bytes(prompt, before_answer(rendered)));
}

/// Does the prompt open thoughts without closing them?
bool leaves_thoughts_open(const RenderedAnswers& rendered) {
  const std::string_view rest = trimmed(only_in_prompt(rendered));
  if (rest.empty()) return false;
  if (!opening_tag(rendered.prompt).empty()) return true;
  const std::string between = between_thoughts_and_answer(rendered);
  const std::string_view core = trimmed(between);
  return !core.empty() && rendered.prompt == rendered.thinking && rest.find(core) == kNone;
}

/// The end of thoughts that the prompt opens.
std::string end_of_thoughts(const RenderedAnswers& rendered) {
  if (std::string between = between_thoughts_and_answer(rendered); !trimmed(between).empty()) return between;
  const std::string_view tag = opening_tag(rendered.prompt);
  const std::string close = closing_tag(tag);
  return tag.ends_with('\n') ? "\n" + close + "\n\n" : close;
}

/// Takes the spaces at the end off, which are the answer's: a tokenizer joins them with its first word.
AnswerLead split_space(std::string lead) {
  const bool blank = trimmed(lead).empty();
  const std::size_t last = blank ? kNone : lead.find_last_not_of(" \t");
  const std::size_t size = last == kNone ? 0 : last + 1;
  std::string space = lead.substr(size);
  lead.resize(size);
  return {std::move(lead), std::move(space)};
}

}  // namespace

AnswerLead find_answer_lead(const RenderedAnswers& rendered) {
  if (rendered.answer.find(kAnswer) == kNone) return {};
  const std::string_view in_front = before_answer(rendered);
  const std::string_view of_answer = in_front.substr(common_bytes(rendered.prompt, in_front));
  const std::string_view of_prompt = only_in_prompt(rendered);
  const std::string_view core = trimmed(of_answer);
  if (of_prompt.empty()) return split_space(std::string(of_answer));
  if (leaves_thoughts_open(rendered)) return split_space(end_of_thoughts(rendered));
  // The prompt has something of its own, such as thoughts that end at once: what comes on top of it is a header.
  const bool is_header = !core.empty() && !is_letter_or_digit(core.front());
  if (!is_header || trimmed(rendered.prompt).ends_with(core)) return {};
  return split_space(std::string(of_answer));
}

bool opens_thoughts(const RenderedAnswers& rendered) {
  if (!opening_tag(rendered.thinking).empty()) return true;
  if (rendered.prompt == rendered.thinking && leaves_thoughts_open(rendered)) return true;
  const std::size_t thoughts = rendered.thought.find(kThoughts);
  if (thoughts == kNone || trimmed(between_thoughts_and_answer(rendered)).empty()) return false;
  const std::string_view in_front = std::string_view(rendered.thought).substr(0, thoughts);
  return in_front.starts_with(rendered.thinking) && trimmed(in_front.substr(rendered.thinking.size())).empty();
}

ReplyFormat find_reply_format(const RenderedAnswers& rendered) {
  ReplyFormat format;
  format.between = std::string(trimmed(between_thoughts_and_answer(rendered)));
  format.open = std::string(trimmed(opening_tag(rendered.thinking)));
  const std::size_t thoughts = rendered.thought.find(kThoughts);
  if (thoughts != kNone && rendered.thought.starts_with(rendered.thinking) && thoughts > rendered.thinking.size()) {
    const std::string_view open = std::string_view(rendered.thought).substr(0, thoughts);
    if (const auto core = trimmed(open.substr(rendered.thinking.size())); !core.empty()) format.open = core;
  }
  if (!format.open.empty() || !format.between.empty()) return format;
  // A prompt that is to go without thoughts may show how they look when there are none: "<think>\n\n</think>".
  const std::string_view prompt = rendered.prompt;
  const std::string_view none = trimmed(prompt.substr(common_bytes(prompt, rendered.thinking)));
  const std::size_t last = none.find_last_of("<[");
  const std::string_view open = trimmed(none.substr(0, last));  // of more, what begins with the tag before
  const std::size_t tag = last == kNone ? kNone : open.find_last_of("<[");
  if (tag == kNone || !names_thoughts(open.substr(tag))) return format;
  format.open = open.substr(tag);
  format.between = none.substr(last);
  return format;
}

std::string find_turn_end(const RenderedAnswers& rendered) {
  const std::size_t size = std::string_view(kAnswer).size();
  if (const std::size_t at = rendered.answer.rfind(kAnswer); at != kNone) {
    std::string end = rendered.answer.substr(at + size);
    if (!trimmed(end).empty()) return end;
  }
  // Some templates end a turn only when another one follows.
  const std::size_t at = rendered.gone_on.find(kAnswer);
  const std::size_t next = rendered.gone_on.find(kNextQuestion);
  if (at == kNone || next == kNone || next < at + size) return {};
  return rendered.gone_on.substr(at + size, next - at - size);
}

}  // namespace coala
