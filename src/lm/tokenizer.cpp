#include "lm/tokenizer.h"

#include <fmt/format.h>
#include <llama.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "core/utf8.h"

namespace coala {
namespace {

std::string token_text(const llama_vocab* vocab, Token token) {
  const char* text = token < 0 ? nullptr : llama_vocab_get_text(vocab, token);
  return text == nullptr ? std::string() : std::string(text);
}

/// Could the text be part of a template's structure, such as "<|im_start|>"? Words and white space are none, and what
/// surrounds thoughts and calls of tools stands in answers too.
bool may_be_mark(const std::string& text) {
  if (text.size() < 3 || is_letter_or_digit(text.front()) || is_space(text.front())) return false;
  const std::string lower = lower_case(text);
  return std::ranges::none_of(std::array{"think", "thought", "tool", "function"},
                              [&](const char* word) { return lower.find(word) != std::string::npos; });
}

}  // namespace

/// A stretch of text without special tokens, or one special token.
struct Tokenizer::Run {
  std::optional<Token> special;
  std::string text;
};

void Tokenizer::Specials::prepare() {
  std::ranges::stable_sort(all, std::ranges::greater{}, [](const Special& special) { return special.text.size(); });
  std::vector<std::string> texts;
  for (const Special& special : all) texts.push_back(special.text);
  matcher = TextMatcher(texts);
}

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
    const bool control = (attributes & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) != 0;
    if (!control && (attributes & LLAMA_TOKEN_ATTR_USER_DEFINED) == 0) continue;
    std::string text = token_text(vocab, token);
    if (text.empty()) continue;
    (control ? controls_ : user_defined_)
        .all.push_back({token, std::move(text), (attributes & LLAMA_TOKEN_ATTR_LSTRIP) != 0,
                        (attributes & LLAMA_TOKEN_ATTR_RSTRIP) != 0});
  }
  controls_.prepare();
  user_defined_.prepare();
}

void Tokenizer::take_marks(std::string_view own_text) {
  std::vector<bool> found(user_defined_.all.size());
  for (const TextMatcher::Match& match : user_defined_.matcher.all_in(own_text)) found[match.number] = true;
  Specials rest;
  for (std::size_t k = 0; k < found.size(); ++k) {
    Special& special = user_defined_.all[k];
    if (!found[k] || !may_be_mark(special.text)) {
      rest.all.push_back(std::move(special));
      continue;
    }
    marks_.resize(size_);
    marks_[static_cast<std::size_t>(special.token)] = true;
    marks_only_.all.push_back(special);
    controls_.all.push_back(std::move(special));
  }
  user_defined_ = std::move(rest);
  for (Specials* specials : {&controls_, &user_defined_, &marks_only_}) specials->prepare();
}

bool Tokenizer::is_control(Token token) const {
  if (token < 0 || static_cast<std::size_t>(token) >= size_) return false;
  return llama_vocab_is_control(vocab_, token) || (!marks_.empty() && marks_[static_cast<std::size_t>(token)]);
}

bool Tokenizer::is_special(Token token) const {
  if (token < 0 || static_cast<std::size_t>(token) >= size_) return false;
  // Where no space is put in front of a text it makes no difference, and users' tokens may hold words.
  return is_control(token) ||
         (space_prefix_ && (llama_vocab_get_attr(vocab_, token) & LLAMA_TOKEN_ATTR_USER_DEFINED) != 0);
}

std::string Tokenizer::control_text(Token token) const {
  return is_control(token) ? token_text(vocab_, token) : std::string();
}

std::vector<std::string> Tokenizer::control_texts() const {
  std::vector<std::string> texts;
  for (const Special& control : controls_.all) texts.push_back(control.text);
  return texts;
}

Token Tokenizer::leading_control(std::string_view template_text) const {
  const std::size_t begin = std::min(template_text.find_first_not_of(" \t\r\n"), template_text.size());
  const auto control = controls_.matcher.longest_at(template_text, begin);
  return control ? controls_.all[*control].token : -1;
}

/// Cuts a text at special tokens as llama.cpp does it: the longest first, each from the left, in what is left of the
/// text; white space beside those that strip it goes.
std::vector<Tokenizer::Run> Tokenizer::cut(std::string_view text, const Specials& specials) {
  std::vector<TextMatcher::Match> matches = specials.matcher.all_in(text);
  std::ranges::sort(matches, {}, [](const TextMatcher::Match& match) { return std::pair(match.number, match.begin); });
  std::vector<bool> taken(text.size());
  std::vector<TextMatcher::Match> cuts;
  const auto is_blank = [&](std::size_t at) {
    return !taken[at] && std::isspace(static_cast<unsigned char>(text[at])) != 0;
  };
  for (const TextMatcher::Match& match : matches) {
    const Special& special = specials.all[match.number];
    const std::size_t end = match.begin + special.text.size();
    const auto first = taken.begin() + static_cast<std::ptrdiff_t>(match.begin);
    const auto last = taken.begin() + static_cast<std::ptrdiff_t>(end);
    if (std::find(first, last, true) != last) continue;
    std::fill(first, last, true);
    for (std::size_t at = match.begin; special.strips_left && at > 0 && is_blank(at - 1); --at) taken[at - 1] = true;
    for (std::size_t at = end; special.strips_right && at < text.size() && is_blank(at); ++at) taken[at] = true;
    cuts.push_back(match);
  }
  std::ranges::sort(cuts, {}, &TextMatcher::Match::begin);
  std::vector<Run> runs;
  std::string rest;
  const auto add_text = [&](std::size_t begin, std::size_t end) {
    for (std::size_t at = begin; at < end; ++at) {
      if (!taken[at]) rest += text[at];
    }
    if (!rest.empty()) runs.push_back({std::nullopt, std::move(rest)});
    rest.clear();
  };
  std::size_t done = 0;
  for (const TextMatcher::Match& match : cuts) {
    const Special& special = specials.all[match.number];
    add_text(done, match.begin);
    runs.push_back({special.token, {}});
    done = match.begin + special.text.size();
  }
  add_text(done, text.size());
  return runs;
}

std::vector<Token> Tokenizer::encode(std::span<const TextPart> parts, bool at_start) const {
  // Cut the template's text at its control tokens, then join what is left with the user's text beside it, so that the
  // result is that of tokenising one text.
  std::vector<Run> runs;
  const auto add = [&](Run&& run) {
    if (run.special || runs.empty() || runs.back().special) {
      if (run.special || !run.text.empty()) runs.push_back(std::move(run));
    } else {
      runs.back().text += run.text;
    }
  };
  for (const TextPart& part : parts) {
    if (part.from_user) {
      add({std::nullopt, part.text});
    } else {
      for (Run& run : cut(part.text, controls_)) add(std::move(run));
    }
  }
  std::vector<Token> tokens;
  bool starts = at_start;
  for (const Run& run : runs) {
    if (run.special) {
      tokens.push_back(*run.special);
    } else {
      encode_run(run.text, starts, tokens);
    }
    starts = run.special.has_value();
  }
  return tokens;
}

/// A text without control tokens. What reads like a mark is somebody's text: llama.cpp is not shown it as a whole.
void Tokenizer::encode_run(const std::string& text, bool at_start, std::vector<Token>& to) const {
  std::size_t done = 0;
  const auto encode_piece = [&](std::size_t end) {
    if (end == done) return;
    const std::string piece = text.substr(done, end - done);
    done = end;
    if (!space_prefix_) return encode_plain(piece, at_start && end == piece.size(), to);
    // llama.cpp finds user-defined tokens first, and puts the space in front of what follows them too.
    bool starts = at_start && end == piece.size();
    for (const Run& run : cut(piece, user_defined_)) {
      if (run.special) {
        to.push_back(*run.special);
      } else {
        encode_plain(run.text, starts, to);
      }
      starts = run.special.has_value();
    }
  };
  const auto is_inside_character = [&](std::size_t at) {
    return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0u) == 0x80u;
  };
  for (const TextMatcher::Match& match : marks_only_.matcher.all_in(text)) {
    std::size_t second = match.begin + 1;
    while (is_inside_character(second)) ++second;
    if (second > done) encode_piece(second);
  }
  encode_piece(text.size());
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
  if (turn_end_ >= 0) return turn_end_;
  const Token end_of_turn = llama_vocab_eot(vocab_);
  return end_of_turn >= 0 ? end_of_turn : llama_vocab_eos(vocab_);
}

bool Tokenizer::is_end(Token token) const {
  if (token < 0 || static_cast<std::size_t>(token) >= size_) return false;
  return token == turn_end_ || llama_vocab_is_eog(vocab_, token);
}

std::string Tokenizer::decode(std::span<const Token> tokens, bool at_start) const {
  std::string bytes;
  for (const Token token : tokens) append_bytes(token, bytes);
  return text_of(std::move(bytes), at_start);
}

std::string Tokenizer::text_of(std::string bytes, bool at_start) const {
  if (space_prefix_ && at_start && bytes.starts_with(' ')) bytes.erase(0, 1);
  return replace_invalid_utf8(bytes);
}

void Tokenizer::append_bytes(Token token, std::string& to) const {
  if (token < 0 || static_cast<std::size_t>(token) >= size_) {
    throw Error(ErrorCode::Internal, fmt::format("token {} is not in a vocabulary of {}", token, size_));
  }
  constexpr std::size_t kUsual_bytes = 32;
  if (is_control(token)) return;
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
  if (turn_end_ >= 0) hasher.add("turn end").add(static_cast<std::int64_t>(turn_end_));
  for (const Special& mark : marks_only_.all) hasher.add("mark").add(static_cast<std::int64_t>(mark.token));
  return hasher.hex();
}

}  // namespace coala
