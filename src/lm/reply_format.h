#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coala {

/// What a model wrote, taken apart.
struct ReplyText {
  std::string reasoning;  ///< what it thought before it answered; "" when it did not
  std::string answer;
};

/// A token's text, and whether it is a mark: a control token, which is no part of any text.
struct ReplyPiece {
  std::string text;
  bool is_mark = false;
};

/// How a model's reply says where its thoughts end and its answer begins: "<think>Hm.</think>Four.", or the channels of
/// gpt-oss, "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Four."
struct ReplyFormat {
  std::string open;       ///< what the template writes in front of thoughts, without white space around; may be ""
  std::string between;    ///< and between thoughts and answer, the answer's header included; "" when it knows none
  bool channels = false;  ///< messages with headers of their own, as gpt-oss writes them

  /// @param pieces   of the reply's tokens, in order
  /// @param thinking  whether the prompt ends inside of thoughts
  ReplyText split(std::span<const ReplyPiece> pieces, bool thinking) const;
  /// Might more text show that what looks like an answer is none yet? Of a reply's beginning.
  bool may_change(std::string_view answer) const;
};

/// The text's end, when it is a tag that opens thoughts, such as "<think>" or "[THINK]", with white space behind it.
std::string_view opening_tag(std::string_view text);
/// Is a tag's name that of thoughts?
bool names_thoughts(std::string_view tag);
/// "</think>" of "<think>"; "" when it is no tag.
std::string closing_tag(std::string_view tag);

}  // namespace coala
