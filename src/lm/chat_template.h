#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/record.h"
#include "lm/text_part.h"

namespace coala {

/// A Jinja chat template, rendered by llama.cpp's engine.
class ChatTemplate {
 public:
  /// @param bos, eos       text of these tokens, which templates write out; "" when the model has none
  /// @param control_texts  of the model's control tokens, longest first: in a content they stay the user's text
  /// @throws Error{BadInput} when the template cannot be parsed
  ChatTemplate(const std::string& source, std::string bos, std::string eos, std::vector<std::string> control_texts);
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;

  /// What a model without a template gets: "User: ...\nAssistant: ...\n", a system message as a paragraph before.
  static const char* plain_source();

  /// What an encoder without a template gets: the contents, a line break after each. It has read texts, not dialogues,
  /// and marks of its own say which text is which.
  static const char* contents_source();

  /// The conversation, ending where the model's next answer starts.
  /// @throws Error{BadInput} when the template refuses the conversation (roles in the wrong order, for instance)
  std::vector<TextPart> render_prompt(const std::vector<Message>& messages) const;

  /// White space that the template writes between the end of render_prompt() and an answer (" " in
  /// "Assistant: answer"). It belongs to the answer's first token, as when the model writes the answer itself.
  const std::string& response_lead() const { return response_lead_; }

 private:
  struct Program;
  std::vector<TextPart> render(const std::vector<Message>& messages, bool add_generation_prompt) const;
  std::string find_response_lead() const;

  std::unique_ptr<Program> program_;
  std::string bos_;
  std::string eos_;
  std::vector<std::string> control_texts_;
  std::string response_lead_;
};

}  // namespace coala
