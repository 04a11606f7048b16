#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "decode/branch_settings.h"
#include "decode/logits_processor.h"
#include "decode/reply.h"
#include "decode/reward_head.h"
#include "lm/grammar.h"
#include "lm/sampler.h"

namespace coala {

struct GenerationSettings {
  std::size_t max_tokens = 128;  ///< of a reply; at least 1
  int replies = 1;               ///< to each prompt, drawn independently
  SamplerOptions sampling = {};
  std::uint64_t seed = 0;
  std::optional<RewardHead> reward = {};      ///< scores every reply
  const LogitsProcessor* tilt = nullptr;      ///< of the logits that are drawn from
  std::optional<BranchSettings> branch = {};  ///< guides by the reward
  int continuations = 0;                ///< continuations of a sentence that the reward chooses from; 0: none are drawn
  const Grammar* grammar = nullptr;     ///< that replies conform to
  std::vector<std::string> stops = {};  ///< a reply ends before the first of these; none is empty
  bool trace = false;                   ///< whether Reply::trace is filled
  /// Whether log-probabilities, entropies and divergences are taken, each a pass over the vocabulary per token;
  /// best_of() and is_outside() go by them.
  bool measures = true;
  /// Has the trace name so many of the most probable tokens beside each that was drawn, with their log-probabilities.
  std::optional<std::size_t> alternatives = {};
  /// Receives the text of the only reply as it grows, whole characters at a time.
  std::function<void(std::string_view)> on_text = {};
  /// Receives the tokens of the trace before the text that they bring, and the last of them at the end.
  std::function<void(std::span<const DrawnToken>)> on_drawn = {};

  /// @throws Error{BadUsage} for settings out of range or a guidance without a head, Error{BadInput} when replies
  /// cannot
  ///   be scored by the head
  void validate() const;
  /// Are the states of the prompt's tokens a part of a reply's feature?
  bool needs_prompt_states() const;
};

/// Seed of a prompt's candidate.
std::uint64_t candidate_seed(std::uint64_t seed, std::span<const Token> prompt, std::size_t candidate);

}  // namespace coala
