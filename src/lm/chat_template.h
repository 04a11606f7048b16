#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/record.h"
#include "lm/reply_format.h"
#include "lm/template_process.h"
#include "lm/text_matcher.h"
#include "lm/text_part.h"

namespace coala {

/// Whether a model may think before it answers, where its template knows that ("enable_thinking").
enum class Thinking {
  Off,  ///< the prompt ends where the answer begins
  On,   ///< the prompt ends where the model's turn begins
};

/// A Jinja chat template, rendered by llama.cpp's engine (TemplateProcess).
///
/// What a template writes around an answer is seen, not known: a conversation is rendered with and without an answer,
/// and the two texts are compared (AnswerForm).
class ChatTemplate {
 public:
  /// @param bos, eos       text of these tokens, which templates write out; "" when the model has none
  /// @param control_texts  of the model's control tokens: in a content they stay the user's text
  /// @throws Error{BadInput} when the template cannot be parsed
  ChatTemplate(const std::string& source, std::string bos, std::string eos, std::vector<std::string> control_texts);
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;

  /// Other control texts than the constructor's.
  void cover(std::vector<std::string> control_texts);

  /// What a model without a template gets: "User: ...\nAssistant: ...\n", a system message as a paragraph before.
  static const char* plain_source();
  /// With which another turn begins in it.
  static const char* plain_turn() { return "\nUser:"; }

  /// What an encoder without a template gets: the contents, a line break after each. It has read texts, not dialogues,
  /// and marks of its own say which text is which.
  static const char* contents_source();

  /// The conversation, ending where the model's next answer starts: behind the header that the template puts in front
  /// of an answer ("<|channel|>final<|message|>"), and behind thoughts, closed without any where the template opens
  /// them.
  /// @throws Error{BadInput} with the template's reason when it refuses the conversation (roles in the wrong order)
  std::vector<TextPart> render_prompt(const std::vector<Message>& messages, Thinking thinking = Thinking::Off) const;

  /// White space that the template writes between the end of render_prompt() and an answer (" " in
  /// "Assistant: answer"). It belongs to the answer's first token, as when the model writes the answer itself.
  const std::string& response_lead() const { return form_.space; }

  /// What render_prompt() puts behind the template's own prompt; "" for most templates.
  const std::string& answer_lead() const { return form_.lead; }
  /// Whether a prompt with Thinking::On ends inside of thoughts.
  bool starts_thinking() const { return form_.starts_thinking; }
  const ReplyFormat& reply_format() const { return form_.reply; }
  /// What the template writes behind an answer; "" when it does not say.
  const std::string& turn_end() const { return form_.end; }
  /// The template's own text in some conversations, with what it writes around contents, thoughts and answers.
  const std::string& own_text() const { return form_.own_text; }

 private:
  /// What the template writes around an answer.
  struct AnswerForm {
    std::string lead, space, end, own_text;
    bool starts_thinking = false;
    ReplyFormat reply;
  };
  struct Request;
  std::vector<TextPart> render(const Request& request) const;
  std::optional<std::string> try_render(const Request& request, std::string& own_text) const;
  AnswerForm find_form() const;

  std::unique_ptr<TemplateProcess> process_;
  std::vector<std::string> control_texts_;
  TextMatcher control_matcher_;
  AnswerForm form_;
};

}  // namespace coala
