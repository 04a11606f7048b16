#include "data/split.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/hash.h"
#include "core/utf8.h"

namespace coala {
namespace {

/// In lower case, with one space for every run of white space and punctuation; the text itself when nothing else is in
/// it. Letters beyond ASCII stay as they are.
std::string normalised(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80 || is_letter_or_digit(c)) {
      result += lower_case(c);
    } else if (!result.empty() && result.back() != ' ') {
      result += ' ';
    }
  }
  if (!result.empty() && result.back() == ' ') result.pop_back();
  return result.empty() ? std::string(text) : result;
}

std::string exact_key(const Prompt& prompt) {
  return prompt.messages.empty() && prompt.text.empty() ? std::string() : prompt.key();
}

std::string key_of(const RecordNotes& notes, const Prompt& prompt, const std::string& text) {
  if (!notes.question.empty()) return Prompt{{{"user", normalised(notes.question)}}, {}}.key();
  if (prompt.messages.empty()) {
    return prompt.text.empty() ? "text:" + text : Prompt{{}, normalised(prompt.text)}.key();
  }
  const auto asked = std::find_if(prompt.messages.begin(), prompt.messages.end(),
                                  [](const Message& message) { return message.role == "user"; });
  const Message& opening = asked != prompt.messages.end() ? *asked : prompt.messages.front();
  return Prompt{{{opening.role, normalised(opening.content)}}, {}}.key();
}

}  // namespace

std::string split_key(const Pair& pair) {
  return key_of(pair, pair.prompt, pair.chosen);
}

std::string split_key(const Labelled& labelled) {
  return key_of(labelled, labelled.prompt, labelled.response);
}

std::string split_key(const Record& record) {
  return std::visit([](const auto& held) { return split_key(held); }, record);
}

std::string prompt_key(const Record& record) {
  return std::visit([](const auto& held) { return exact_key(held.prompt); }, record);
}

std::string prompt_key(const Labelled& labelled) {
  return exact_key(labelled.prompt);
}

bool in_held_out(std::string_view key, double fraction, std::uint64_t seed) {
  if (!(fraction >= 0 && fraction <= 1)) {
    throw Error(ErrorCode::BadUsage, fmt::format("the held-out fraction is {}; expected 0 to 1", fraction),
                "0.1 holds out a tenth of the prompts");
  }
  const double uniform = static_cast<double>(hash64(key, seed) >> 11) * 0x1p-53;  // in [0, 1)
  return uniform < fraction;
}

int fold_of(std::string_view key, int folds, std::uint64_t seed) {
  if (folds < 1) throw Error(ErrorCode::BadUsage, fmt::format("there cannot be {} folds", folds), "use 2 or more");
  // The remainder hangs on the low bits of the hash, in_held_out() compares the high ones: the two are independent.
  return static_cast<int>(hash64(key, seed) % static_cast<std::uint64_t>(folds));
}

}  // namespace coala
