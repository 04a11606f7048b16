#pragma once

#include <string>

#include "lm/reply_format.h"

namespace coala {

// Words that stand for the contents of a conversation while its template is looked at.
inline constexpr const char* kQuestion = "Question7f3a";
inline constexpr const char* kThoughts = "Thoughts7f3a";
inline constexpr const char* kAnswer = "Answer7f3a";
inline constexpr const char* kNextQuestion = "Another7f3a";

/// One conversation as a template renders it.
struct RenderedAnswers {
  std::string prompt;    ///< up to the model's turn, without thinking
  std::string thinking;  ///< the same with thinking
  std::string answer;    ///< with an answer
  std::string thought;   ///< with thoughts and an answer, with thinking; "" when the template refuses that
  std::string gone_on;   ///< with an answer and another question; "" as well
};

/// What stands between the end of `prompt` and an answer.
struct AnswerLead {
  std::string text;   ///< the template's: headers, the end of thoughts
  std::string space;  ///< white space that belongs to the answer's first token
};

/// What the template writes itself between the two, where its own answer begins as the prompt does. A prompt that opens
/// thoughts which the template leaves out of an answer is given their end: the template's own where it says how
/// thoughts end, else that of the tag.
AnswerLead find_answer_lead(const RenderedAnswers& rendered);

/// Does the prompt with thinking end inside of thoughts?
bool opens_thoughts(const RenderedAnswers& rendered);

/// How thoughts begin and end; `channels` is not looked at.
ReplyFormat find_reply_format(const RenderedAnswers& rendered);

/// What follows an answer, without what belongs to the next turn's content.
std::string find_turn_end(const RenderedAnswers& rendered);

}  // namespace coala
