#include "lm/tokenizer.h"

#include <fmt/format.h>
#include <llama.h>

#include <algorithm>
#include <cctype>
#include <limits>
#include <optional>

#include "core/error.h"
#include "core/hash.h"
#include "data/utf8.h"

namespace coala {
namespace {

std::string token_text(const llama_vocab* vocab, Token token) {
  const char* text = token < 0 ? nullptr : llama_vocab_get_text(vocab, token);
  return text == nullptr ? std::string() : std::string(text);
}

void strip_left(std::string& text) {
  const auto is_text = [](unsigned char c) { return std::isspace(c) == 0; };
  text.erase(text.begin(), std::find_if(text.begin(), text.end(), is_text));
}

void strip_right(std::string& text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) text.pop_back();
}

/// A stretch of text without control tokens, or one control token.
struct Run {
  std::optional<Token> control;
  std::string text;
};

}  // namespace

Tokenizer::Tokenizer(const llama_vocab* vocab, bool space_prefix)
    : vocab_(vocab),
      space_prefix_(space_prefix),
      bos_(llama_vocab_bos(vocab)),
      size_(static_cast<std::size_t>(std::max(0, llama_vocab_n_tokens(vocab)))),
      bos_text_(token_text(vocab, bos_)),
      eos_text_(token_text(vocab, llama_vocab_eos(vocab))) {
  adds_bos_ = bos_ >= 0 && llama_vocab_get_add_bos(vocab);
  for (std::size_t i = 0; i < size_; ++i) {
    const auto token = static_cast<Token>(i);
    const int attributes = llama_vocab_get_attr(vocab, token);
    if ((attributes & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) == 0) continue;
    std::string text = token_text(vocab, token);
    if (text.empty()) continue;
    controls_.push_back({token, std::move(text), (attributes & LLAMA_TOKEN_ATTR_LSTRIP) != 0,
                         (attributes & LLAMA_TOKEN_ATTR_RSTRIP) != 0});
  }
  std::stable_sort(controls_.begin(), controls_.end(),
                   [](const Control& a, const Control& b) { return a.text.size() > b.text.size(); });
}

bool Tokenizer::is_control(Token token) const {
  return token >= 0 && static_cast<std::size_t>(token) < size_ && llama_vocab_is_control(vocab_, token);
}

std::vector<std::string> Tokenizer::control_texts() const {
  std::vector<std::string> texts;
  for (const Control& control : controls_) texts.push_back(control.text);
  return texts;
}

std::vector<Token> Tokenizer::encode(std::span<const TextPart> parts, bool at_start) const {
  // Cut the template's text at its control tokens, longest first as llama.cpp does it, then join what is left with the
  // user's text beside it, so that the result is that of tokenising one text.
  std::vector<Run> runs;
  const auto add = [&](Run run) {
    if (run.control || runs.empty() || runs.back().control) {
      if (run.control || !run.text.empty()) runs.push_back(std::move(run));
    } else {
      runs.back().text += run.text;
    }
  };
  for (const TextPart& part : parts) {
    std::vector<Run> pieces{{std::nullopt, part.text}};
    for (const Control& control : controls_) {
      if (part.from_user) break;
      if (part.text.find(control.text) == std::string::npos) continue;
      std::vector<Run> cut;
      for (Run& piece : pieces) {
        std::size_t at = std::string::npos;
        while (!piece.control && (at = piece.text.find(control.text)) != std::string::npos) {
          std::string left = piece.text.substr(0, at);
          if (control.strips_left) strip_right(left);
          cut.push_back({std::nullopt, std::move(left)});
          cut.push_back({control.token, {}});
          piece.text.erase(0, at + control.text.size());
          if (control.strips_right) strip_left(piece.text);
        }
        cut.push_back(std::move(piece));
      }
      pieces = std::move(cut);
    }
    for (Run& piece : pieces) add(std::move(piece));
  }
  std::vector<Token> tokens;
  bool starts = at_start;
  for (const Run& run : runs) {
    if (run.control) {
      tokens.push_back(*run.control);
    } else {
      encode_plain(run.text, starts, tokens);
    }
    starts = run.control.has_value();
  }
  return tokens;
}

void Tokenizer::encode_plain(const std::string& text, bool at_start, std::vector<Token>& to) const {
  const std::string whole = space_prefix_ && at_start ? " " + text : text;
  if (whole.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()) / 2) {
    throw Error(ErrorCode::BadInput, fmt::format("a text of {} bytes is too long to be tokenised", whole.size()));
  }
  const auto bytes = static_cast<std::int32_t>(whole.size());
  // Every token stands for a byte or more in nearly all cases; llama.cpp says when that does not hold.
  std::vector<Token> tokens(whole.size() + 16);
  try {
    std::int32_t count = 0;
    for (int attempt = 0; attempt < 2; ++attempt) {
      count = llama_tokenize(vocab_, whole.data(), bytes, tokens.data(), static_cast<std::int32_t>(tokens.size()),
                             /*add_special=*/false, /*parse_special=*/false);
      if (count >= 0 || count == std::numeric_limits<std::int32_t>::min()) break;
      tokens.resize(static_cast<std::size_t>(-static_cast<std::int64_t>(count)));
    }
    if (count < 0) throw Error(ErrorCode::BadInput, "a text is too long to be tokenised");
    to.insert(to.end(), tokens.begin(), tokens.begin() + count);
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(
        ErrorCode::BadInput,
        fmt::format("the model's vocabulary cannot express the text '{}': {}", text.substr(0, 60), error.what()),
        "drop that text, or use a model whose tokenizer has byte tokens");
  }
}

Token Tokenizer::separator() const {
  if (llama_vocab_get_add_sep(vocab_)) return llama_vocab_sep(vocab_);
  return llama_vocab_get_add_eos(vocab_) ? llama_vocab_eos(vocab_) : -1;
}

Token Tokenizer::end() const {
  const Token end_of_turn = llama_vocab_eot(vocab_);
  return end_of_turn >= 0 ? end_of_turn : llama_vocab_eos(vocab_);
}

bool Tokenizer::is_end(Token token) const {
  return token >= 0 && static_cast<std::size_t>(token) < size_ && llama_vocab_is_eog(vocab_, token);
}

std::string Tokenizer::decode(std::span<const Token> tokens, bool at_start) const {
  std::string text;
  for (const Token token : tokens) append_piece(token, text);
  if (space_prefix_ && at_start && text.starts_with(' ')) text.erase(0, 1);
  return replace_invalid_utf8(text);
}

void Tokenizer::append_piece(Token token, std::string& to) const {
  if (token < 0 || static_cast<std::size_t>(token) >= size_) {
    throw Error(ErrorCode::Internal, fmt::format("token {} is not in a vocabulary of {}", token, size_));
  }
  constexpr std::size_t kUsual_bytes = 32;
  const std::size_t before = to.size();
  std::size_t room = kUsual_bytes;
  for (int attempt = 0; attempt < 2; ++attempt) {
    to.resize(before + room);
    const std::int32_t bytes = llama_token_to_piece(vocab_, token, to.data() + before, static_cast<std::int32_t>(room),
                                                    /*lstrip=*/0, /*special=*/false);
    if (bytes >= 0) {
      to.resize(before + static_cast<std::size_t>(bytes));
      return;
    }
    room = static_cast<std::size_t>(-static_cast<std::int64_t>(bytes));
  }
  throw Error(ErrorCode::Internal, fmt::format("llama.cpp gives no text for token {}", token));
}

std::string Tokenizer::hash() const {
  Hasher hasher;
  hasher.add(static_cast<std::int64_t>(llama_vocab_type(vocab_))).add(static_cast<std::int64_t>(size_));
  for (std::size_t i = 0; i < size_; ++i) {
    const auto token = static_cast<Token>(i);
    const float score = llama_vocab_get_score(vocab_, token);
    hasher.add(token_text(vocab_, token)).add(&score, sizeof score);
    hasher.add(static_cast<std::int64_t>(llama_vocab_get_attr(vocab_, token)));
  }
  for (const Token token : {llama_vocab_bos(vocab_), llama_vocab_eos(vocab_), llama_vocab_eot(vocab_),
                            llama_vocab_sep(vocab_), llama_vocab_nl(vocab_), llama_vocab_pad(vocab_)}) {
    hasher.add(static_cast<std::int64_t>(token));
  }
  hasher.add(static_cast<std::int64_t>(adds_bos_)).add(static_cast<std::int64_t>(space_prefix_));
  return hasher.hex();
}

}  // namespace coala
