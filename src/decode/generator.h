#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "decode/branch_guide.h"
#include "decode/logit_tilt.h"
#include "decode/reward_head.h"
#include "lm/sampler.h"
#include "lm/session.h"

namespace coala {

struct GenerationSettings {
  std::size_t max_tokens = 128;  ///< of a reply; at least 1
  int candidates = 1;            ///< replies to each prompt, drawn independently
  SamplerOptions sampling = {};
  std::uint64_t seed = 0;
  std::optional<RewardHead> reward = {};      ///< scores every candidate
  const LogitTilt* tilt = nullptr;            ///< of the logits that are drawn from
  std::optional<BranchSettings> branch = {};  ///< guides by the reward, one candidate after the other
  const Grammar* grammar = nullptr;           ///< that replies conform to
  std::vector<std::string> stops = {};        ///< a reply ends before the first of these; none is empty
  bool trace = false;                         ///< whether Reply::trace is filled
  /// Receives the text of the only candidate as it grows, whole characters at a time.
  std::function<void(std::string_view)> on_text = {};
};

/// How a reply ended.
enum class Finish {
  Stop,     ///< the model ended it, or a stop string
  Length,   ///< at max_tokens
  Context,  ///< the model's context is full
};
const char* finish_name(Finish finish);  ///< "stop", "length", "context"

/// A token as it was drawn.
struct DrawnToken {
  Token token = 0;
  double log_probability = 0;   ///< under the model as it is
  std::optional<double> score;  ///< by the head, of the text with it, where branch guidance took that
};

/// One reply to a prompt.
struct Reply {
  std::vector<Token> tokens;  ///< without the one that ended it; before a stop string, those that are wholly before it
  std::string text;
  Finish finish = Finish::Length;
  double log_probability = 0;              ///< of all that was drawn, the end included, under the model as it is
  std::size_t log_probability_tokens = 0;  ///< how many that were
  std::optional<double> score;             ///< by the head; absent without one, and for a reply without tokens
  std::uint64_t guided_steps = 0;          ///< tokens that were chosen with the head's opinion
  std::vector<DrawnToken> trace;           ///< all that was drawn, when asked for
};

/// Draws replies to one prompt at a time. One thread at a time.
///
/// The prompt is evaluated once, then candidates advance together, one decode per token. Candidate i of a prompt draws
/// from a seed of its own, so that it is the same whatever the number of candidates and whatever else is generated.
/// With branch guidance they are written one after the other.
///
/// The same to the bit while the number of candidates stays; else up to rounding. F32 weights give the same text then,
/// as a rule. With others llama.cpp rounds activations to the weights' type, which makes a last bit into 1e-3 of a
/// logit: of 60 replies of 40 tokens, candidate 0 of 8 and the only one of 1 were the same 57 times (imdb-llama F16).
class Generator {
 public:
  /// @param longest_prompt_tokens  the session has room for it and the candidates' tokens
  /// @throws Error{BadUsage} for settings out of range, Error{OutOfMemory}
  Generator(const Backbone& backbone, const GenerationSettings& settings, std::size_t longest_prompt_tokens,
            int threads);

  /// The candidates, in the order of their numbers.
  /// @throws Error{BadInput} for a prompt without tokens or one that leaves no room for a reply, Error{Interrupted}
  std::vector<Reply> generate(const EncodedPrompt& prompt);

  const SessionCounts& counts() const { return session_.counts(); }
  /// Estimate of what a generator needs beside the model.
  static std::size_t context_bytes(const Backbone& backbone, const GenerationSettings& settings,
                                   std::size_t longest_prompt_tokens);

 private:
  struct Stream;
  Stream new_stream(const EncodedPrompt& prompt, int number, int sequence, const std::optional<PooledState>& pooled);
  std::span<const float> tilted(const Session::Output& output);
  void draw(Stream& stream, const EncodedPrompt& prompt, const Session::Output& output);
  void take(Stream& stream, const EncodedPrompt& prompt, const DrawnToken& drawn);
  void follow_text(Stream& stream, const EncodedPrompt& prompt);
  bool step(std::span<Stream> streams, const EncodedPrompt& prompt);
  void write_guided(Stream& stream, const EncodedPrompt& prompt, Session::Output output);
  Reply finished(Stream& stream, const EncodedPrompt& prompt);

  const Backbone& backbone_;
  GenerationSettings settings_;
  Session session_;
  std::optional<BranchGuide> guide_;
  std::vector<float> tilted_;
  std::vector<float> untilted_;  ///< logits of a guided step, whose branches take llama.cpp's place for them
};

/// Number of the candidate with the highest score; the first of several. One without a score is below all others.
std::size_t best_of(std::span<const Reply> candidates);

/// Seed of a prompt's candidate.
std::uint64_t candidate_seed(std::uint64_t seed, std::span<const Token> prompt, std::size_t candidate);

}  // namespace coala
