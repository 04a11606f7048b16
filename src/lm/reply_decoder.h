#pragma once

#include <string>
#include <vector>

#include "lm/backbone.h"
#include "lm/reply_format.h"

namespace coala {

/// The text of a reply that grows by a token at a time. A token's bytes are asked for once.
class ReplyDecoder {
 public:
  /// Both must outlive it.
  ReplyDecoder(const Backbone& backbone, const EncodedPrompt& prompt) : backbone_(&backbone), prompt_(&prompt) {}

  void add(Token token);

  /// Of what was added: Backbone::decode_reply() of these tokens.
  ReplyText text() const;

 private:
  std::string without_lead(const std::string& bytes) const;

  const Backbone* backbone_;
  const EncodedPrompt* prompt_;
  std::vector<ReplyPiece> pieces_;  ///< runs of text, as bytes that may not be whole characters, and marks between them
  std::string bytes_;               ///< of all runs
};

}  // namespace coala
