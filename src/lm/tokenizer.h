#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lm/text_part.h"

struct llama_vocab;

namespace coala {

using Token = std::int32_t;

/// The tokenizer of a loaded model. Lives as long as the model.
class Tokenizer {
 public:
  /// @param space_prefix  whether the tokenizer puts a space in front of a text that starts a sequence or follows a
  ///   control token. Backbone switches this off inside llama.cpp, which would do it for every separately tokenised
  ///   piece, and it happens here, where it is known whether the piece starts anything.
  Tokenizer(const llama_vocab* vocab, bool space_prefix);

  /// Tokens of text pieces that follow each other, as if they were one text, except that control tokens are only
  /// recognised in pieces that are not from the user.
  /// @param at_start  whether the text starts a sequence or follows a control token
  /// @throws Error{BadInput} when the vocabulary cannot express the text
  std::vector<Token> encode(std::span<const TextPart> parts, bool at_start) const;

  /// The text of tokens, the other way round: control tokens give nothing, and where encode() puts a space in front, it
  /// is taken off. Always well-formed UTF-8: a run of bytes that is none becomes one U+FFFD.
  std::string decode(std::span<const Token> tokens, bool at_start) const;

  bool adds_bos() const { return adds_bos_; }
  Token bos() const { return bos_; }  ///< -1 when there is none
  Token end() const;                  ///< with which an answer ends; -1 when there is none
  Token separator() const;            ///< what the tokenizer puts behind a text; -1 when nothing
  const std::string& bos_text() const { return bos_text_; }
  const std::string& eos_text() const { return eos_text_; }
  bool is_control(Token token) const;
  std::vector<std::string> control_texts() const;  ///< what encode() recognises in a template; longest first
  bool is_end(Token token) const;                  ///< whether the model ends an answer with it
  std::size_t size() const { return size_; }
  /// Hash of everything the API tells: pieces, scores, types, special tokens.
  std::string hash() const;

  /// For src/lm only.
  const llama_vocab* handle() const { return vocab_; }

 private:
  struct Control {
    Token token;
    std::string text;
    bool strips_left, strips_right;
  };
  void encode_plain(const std::string& text, bool at_start, std::vector<Token>& to) const;
  void append_piece(Token token, std::string& to) const;

  const llama_vocab* vocab_;
  bool space_prefix_;
  bool adds_bos_;
  Token bos_;
  std::size_t size_;
  std::string bos_text_;
  std::string eos_text_;
  std::vector<Control> controls_;  ///< longest text first
};

}  // namespace coala
