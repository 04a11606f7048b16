#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "decode/engine.h"
#include "decode/generation_settings.h"
#include "decode/reply.h"

namespace coala {

/// Draws replies to a group of prompts by the same settings. One thread at a time.
///
/// Replies are written together, by an engine: when one ends, the next takes its place. Each prompt is evaluated once.
/// With branches or continuations, replies are written one after the other.
///
/// Candidate i of a prompt draws from a seed of its own, so that it is the same whatever else is generated, up to
/// rounding: what is evaluated together decides in what order sums over the cache are taken. The same group gives the
/// same bits.
class Generator {
 public:
  /// Takes a prompt's replies, in the order of their numbers.
  using Consumer = std::function<void(std::size_t prompt, std::vector<Reply>&& replies)>;

  /// @param longest_prompt_tokens, most_prompts  of the groups that come: the session has room for them
  /// @throws Error{BadUsage} for settings out of range, Error{OutOfMemory}
  Generator(const Backbone& backbone, const GenerationSettings& settings, std::size_t longest_prompt_tokens,
            std::size_t most_prompts, int threads);

  /// Hands on each prompt's replies when the last of them is written.
  /// @throws Error{BadInput} for a prompt without tokens or one that leaves no room for a reply, after all prompts
  ///   before it were handed on; Error{Interrupted}
  void generate(std::span<const EncodedPrompt> prompts, const Consumer& consumer);
  std::vector<Reply> generate(const EncodedPrompt& prompt);

  const SessionCounts& counts() const { return engine_.counts(); }
  /// Estimate of what a generator needs beside the model.
  static std::size_t context_bytes(const Backbone& backbone, const GenerationSettings& settings,
                                   std::size_t longest_prompt_tokens, std::size_t most_prompts);
  /// Of how many prompts a group is made; depends on nothing but the settings and the number of all prompts.
  static std::size_t group_size(const GenerationSettings& settings, std::size_t prompts);

 private:
  GenerationSettings settings_;
  Engine engine_;
};

}  // namespace coala
