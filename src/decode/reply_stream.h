#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "decode/generation_settings.h"
#include "decode/pooled_state.h"
#include "decode/reply.h"
#include "lm/backbone.h"
#include "lm/reply_decoder.h"
#include "lm/sampler.h"

namespace coala {

/// A reply in the making: draws tokens, and knows what follows from them for the reply's end, text and feature.
class ReplyStream {
 public:
  /// All arguments but the last two must outlive it.
  /// @param candidate  number among the prompt's replies, which decides the seed
  /// @param feature    that of the prompt; absent when nothing is scored
  ReplyStream(const Backbone& backbone, const GenerationSettings& settings, const EncodedPrompt& prompt, int candidate,
              std::optional<PooledState> feature);

  Sampler& sampler() { return sampler_; }
  const GenerationSettings& settings() const { return settings_; }
  /// Takes the next token, which the sampler drew.
  void take(const DrawnToken& drawn);
  /// Whether nothing more is drawn.
  bool finished() const { return finished_; }
  /// Whether the last token is to be evaluated: for what follows it, or for its state.
  bool waits() const { return waits_; }
  Token last() const { return reply_.tokens.back(); }
  std::span<const Token> tokens() const { return reply_.tokens; }  ///< so far
  /// The state of the last token.
  void evaluated(std::span<const float> state);
  void count_guided_step() { ++reply_.guided_steps; }

  /// The same reply, to be gone on with differently: number 0 as this one would, the others with random numbers of
  /// their own, which `sentence` and `number` decide. What it writes is not shown before it is chosen().
  std::unique_ptr<ReplyStream> branch(std::size_t sentence, int number) const;
  /// Does the text end with the end of a sentence, or of a line?
  bool ends_sentence() const;
  /// This one was chosen, for this score of its text.
  void chosen(std::optional<double> score);
  /// Of the tokens that were evaluated. Only when something is scored.
  const PooledState& feature() const { return *feature_; }

  /// The reply with its text and its score. At the end.
  Reply finish();

 private:
  ReplyStream(const ReplyStream&) = default;
  bool follows_text() const { return !stops_.empty() || settings_.on_text; }
  void follow_text();
  void show(const ReplyText& reply);
  void show_tokens();

  const Backbone& backbone_;
  const GenerationSettings& settings_;
  const EncodedPrompt& prompt_;
  std::vector<std::string> stops_;  ///< of the settings and of the prompt
  std::uint64_t seed_;
  Sampler sampler_;
  std::optional<PooledState> feature_;
  Reply reply_;
  ReplyDecoder decoder_;  ///< of the reply's tokens, where the text is followed as it grows
  bool finished_ = false;
  bool waits_ = false;
  std::optional<ReplyText> ending_;  ///< the text, when a stop string ended it
  std::size_t shown_bytes_ = 0;      ///< of the text, to on_text
  std::size_t shown_tokens_ = 0;     ///< of the trace, to on_drawn
  bool is_hidden_ = false;           ///< from on_text: it may be that another branch is chosen
  /// Features of the last texts, without their last token: a stop string may take tokens back. The first one is that of
  /// `settled_tokens_` tokens, which no stop string can reach any more.
  std::vector<PooledState> earlier_;
  std::size_t settled_tokens_ = 0;
};

}  // namespace coala
