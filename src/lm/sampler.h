#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "core/random.h"
#include "core/setting.h"
#include "lm/grammar.h"
#include "lm/tokenizer.h"

namespace coala {

/// How a token is drawn. The order: biases, penalties, grammar, top-k, top-p, min-p, temperature, draw; so the
/// temperature does not change which tokens are kept.
struct SamplerOptions {
  double temperature = 0.7;
  double top_p = 0.9;
  int top_k = 40;
  double min_p = 0;
  double repeat_penalty = 1;  ///< divides positive and multiplies negative logits
  double presence_penalty = 0;
  double frequency_penalty = 0;
  std::size_t repeat_last_tokens = 64;
  std::map<Token, double> logit_bias = {};  ///< added to logits; -infinity rules the token out
  /// The rule of the published sampler: the repeat penalty divides negative logits too, and the temperature comes
  /// before top-p and min-p, behind whatever is done to the candidates between filter() and draw().
  bool published_order = false;

  /// What each is and may be; over HTTP no more than OpenAI's API knows.
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Setting{.name = "temperature",
                .about = "randomness of the draw; 0: always the most probable token",
                .range = {.least = 1e-3, .most = 1e3, .or_zero = true},
                .request = Range{0, 2}},
        self.temperature);
    add(Setting{.name = "top_p",
                .about = "draw from the most probable tokens that have this mass; 1: all",
                .range = {.least = 0, .most = 1, .above = true},
                .request = Range{}},
        self.top_p);
    add(Setting{.name = "top_k",
                .about = "draw from that many most probable tokens; 0: all",
                .range = {.least = 0},
                .request = Range{.most = 1e6}},
        self.top_k);
    add(Setting{.name = "min_p",
                .about = "draw from tokens at least this share as probable as the most probable one; 0: all",
                .range = {0, 1},
                .request = Range{}},
        self.min_p);
    add(Setting{.name = "repeat_penalty",
                .about = "makes recent tokens less probable; 1: does not",
                .range = {0.1, 10},
                .request = Range{}},
        self.repeat_penalty);
    add(Setting{.name = "presence_penalty",
                .about = "taken off the logits of recent tokens",
                .range = {-10, 10},
                .request = Range{-2, 2}},
        self.presence_penalty);
    add(Setting{.name = "frequency_penalty",
                .about = "taken off the logits of recent tokens for each time they occurred",
                .range = {-10, 10},
                .request = Range{-2, 2}},
        self.frequency_penalty);
    add(Setting{.name = "repeat_last_tokens",
                .about = "how many tokens are recent; the prompt's count",
                .range = {0, 65536},
                .key = "repeat_last_n"},
        self.repeat_last_tokens);
    add(NoSetting{"each way has a spelling of its own"}, self.logit_bias);
    add(NoSetting{"a part of the published preset"}, self.published_order);
  }

  /// @throws Error{BadUsage} naming the option, its value and its range
  void validate() const;
};

/// A token that may be drawn, and its logit before the temperature.
struct TokenLogit {
  Token token = 0;
  float logit = 0;
};

/// llama.cpp's sampler chain for one sequence, after penalties and a top-k of our own. llama.cpp's penalties look every
/// token of the vocabulary up in a hash table, ours change the few that occurred; its top-k copies and sorts the whole
/// vocabulary, ours passes over it once.
class Sampler {
 public:
  /// Same options, seed and logits: same tokens.
  /// @param grammar  what is drawn conforms to it; nullptr: none
  /// @throws Error{BadUsage}, see SamplerOptions::validate()
  Sampler(const SamplerOptions& options, std::uint64_t seed, const Grammar* grammar = nullptr);
  ~Sampler();
  Sampler(const Sampler& other);  ///< draws what the other would
  Sampler(Sampler&&) noexcept;
  Sampler& operator=(Sampler&&) noexcept;

  /// Draws a token and remembers it for the penalties and the grammar.
  /// @param logits  [vocabulary]; -infinity rules a token out
  /// @throws Error{BadInput} when a logit is NaN or +infinity or none is finite, or the grammar allows no token,
  ///   Error{BadUsage} when a bias is for a token that the vocabulary does not have
  Token draw(std::span<const float> logits);

  /// The same in two steps, so that the candidates' logits can be changed in between: draw_from(filter(logits)) is
  /// draw(logits). The order of the candidates decides what a random number means, and must be kept.
  /// @return  valid until the next call
  std::span<TokenLogit> filter(std::span<const float> logits);
  Token draw_from(std::span<const TokenLogit> candidates);

  /// The temperature that draw_from() divides the candidates' logits by.
  double temperature() const { return options_.temperature; }

  /// draw_from() as a race: how far each candidate is behind the one that would be drawn, which is the first with 0.
  /// The token with the largest addition - lag is distributed as what draw_from() draws with the additions, and is the
  /// token that it draws without any where all are 0. So what can be added at most says who can still be drawn.
  ///
  /// Candidate i arrives after an exponential time of rate p_i, so that it is the first with probability p_i, and
  /// multiplying p_i divides the time; given who is first, the others' remaining times are exponential again (in
  /// logarithms the Gumbel variables of Maddison, Tarlow and Minka, "A* sampling", 2014).
  ///
  /// Not with the published order, whose filters come behind the additions. Nothing is remembered: see take().
  /// @return  in logits, as many as candidates
  std::vector<double> race(std::span<const TokenLogit> candidates);
  /// Remembers a token that race() led to, as draw() does.
  void take(Token token);

  /// Draws from here on with other random numbers.
  void reseed(std::uint64_t seed);

  /// Tells the penalties about tokens that were not drawn here, such as the prompt's.
  void accept(std::span<const Token> tokens);

 private:
  struct Chain;
  std::span<const float> adjust(std::span<const float> logits);
  void penalise();
  void collect(std::span<const float> logits, std::size_t keep);
  Token pick(std::span<const TokenLogit> candidates);
  Token pick_collected();

  SamplerOptions options_;
  std::size_t memory_tokens_;    ///< repeat_last_tokens, or 0 when nothing is penalised
  std::vector<Token> recent_;    ///< at most memory_tokens_
  std::vector<float> adjusted_;  ///< logits, when a bias, a penalty or a grammar changes them
  std::vector<TokenLogit> candidates_;
  std::unique_ptr<Chain> chain_;
  Random behind_;  ///< of those that are not drawn
};

}  // namespace coala
