#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lm/text_matcher.h"
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

  /// Tokens of text pieces that follow each other, as if they were one text, except that control tokens and the marks
  /// of take_marks() are only recognised in pieces that are not from the user. In linear time, whatever their number.
  /// @param at_start  whether the text starts a sequence or follows a control token
  /// @throws Error{BadInput} when the vocabulary cannot express the text
  std::vector<Token> encode(std::span<const TextPart> parts, bool at_start) const;

  /// The text of tokens, the other way round: control tokens give nothing, and where encode() puts a space in front, it
  /// is taken off. Always well-formed UTF-8: a run of bytes that is none becomes one U+FFFD.
  std::string decode(std::span<const Token> tokens, bool at_start) const;
  /// The same in two steps: the bytes of each token, which may be parts of characters, and the text of all bytes.
  void append_bytes(Token token, std::string& bytes) const;
  std::string text_of(std::string bytes, bool at_start) const;

  /// A chat template may be written with tokens that the file calls user-defined (ChatML's "<|im_start|>" on an older
  /// vocabulary, the channels of gpt-oss). llama.cpp finds such tokens in every text. Those that stand in the
  /// template's own text are from now on control tokens to us: nobody else can write them.
  /// @param own_text  of the template, around contents
  void take_marks(std::string_view own_text);
  bool has_marks() const { return !marks_.empty(); }

  /// The token that ends an answer by the chat template, which may be another than the file's.
  void end_turns_with(Token token) { turn_end_ = token; }
  /// The first token of a text of the template's, when it is a control token or a mark.
  Token leading_control(std::string_view template_text) const;

  bool adds_bos() const { return adds_bos_; }
  Token bos() const { return bos_; }  ///< -1 when there is none
  Token end() const;                  ///< with which an answer ends; -1 when there is none
  Token separator() const;            ///< what the tokenizer puts behind a text; -1 when nothing
  const std::string& bos_text() const { return bos_text_; }
  const std::string& eos_text() const { return eos_text_; }
  bool is_control(Token token) const;  ///< or a mark
  /// Whether a text behind the token starts anew, as behind nothing: it is found as a whole, and no part of a text.
  bool is_special(Token token) const;
  std::string control_text(Token token) const;     ///< of a control token or a mark, as templates write it
  std::vector<std::string> control_texts() const;  ///< what encode() recognises in a template; longest first
  bool is_end(Token token) const;                  ///< whether the model ends an answer with it
  std::size_t size() const { return size_; }
  /// Hash of everything the API tells: pieces, scores, types, special tokens.
  std::string hash() const;

  /// For src/lm only.
  const llama_vocab* handle() const { return vocab_; }

 private:
  /// A token that is found in texts before they are tokenised.
  struct Special {
    Token token;
    std::string text;
    bool strips_left, strips_right;
  };
  /// Specials of a kind, longest first, and how they are found.
  struct Specials {
    std::vector<Special> all;
    TextMatcher matcher;
    void prepare();
  };
  struct Run;
  static std::vector<Run> cut(std::string_view text, const Specials& specials);
  void encode_run(const std::string& text, bool at_start, std::vector<Token>& to) const;
  void encode_plain(const std::string& text, bool at_start, std::vector<Token>& to) const;

  const llama_vocab* vocab_;
  bool space_prefix_;
  bool adds_bos_;
  Token bos_;
  Token turn_end_ = -1;  ///< -1: as the file says
  std::size_t size_;
  std::string bos_text_;
  std::string eos_text_;
  Specials controls_;        ///< control tokens and marks
  Specials user_defined_;    ///< what llama.cpp finds in users' texts too; without marks
  Specials marks_only_;      ///< of the controls, those that llama.cpp would find in users' texts
  std::vector<bool> marks_;  ///< by token; empty without any
};

}  // namespace coala
