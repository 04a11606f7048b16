#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "lm/backbone.h"
#include "lm/precision.h"

struct llama_context;

namespace coala {

using TokenSequence = std::span<const Token>;

/// Receives a hidden state, valid during the call: the last one after the final norm, [d], or those of
/// StateOptions::layers side by side, [layers x d].
/// @param sequence  which of the sequences
/// @param position  of the token in it
/// Every token of every sequence comes once, those of a sequence in the order of their positions.
using StateVisitor = std::function<void(std::size_t sequence, std::size_t position, std::span<const float> state)>;

struct StateOptions {
  std::size_t longest_tokens = 512;  ///< longest sequence
  int threads = 0;                   ///< 0: all cores this process may use
  bool share_prefixes = true;        ///< false: every sequence is evaluated whole (slower, same numbers)
  bool skip_output = true;           ///< false: the output matrix is evaluated too (slower, same numbers)
  std::size_t batch_rows = 0;        ///< tokens per call of the model; 0: choose_batch_rows()
  /// Which states: k > 0 for those after block k, 0 for the last one after the final norm. Nothing above the highest of
  /// them is evaluated.
  std::vector<std::size_t> layers = {0};
  Precision precision = Precision::F32;
};

/// Evaluates token sequences with a model. One thread at a time.
///
/// What a sequence has in common with the one before it is not evaluated again: of sequences in lexicographic order
/// every node of their prefix tree is evaluated once, and every sequence still gets the states of all its tokens.
/// An encoder's states depend on what follows, so there every sequence is evaluated whole, in a call of its own.
///
/// Features must reproduce, so the cache is float32 and flash attention is off: with either, states would move by up
/// to 1e-2 with what else is in the batch. The graph is stopped at the last state that is asked for, which leaves out
/// the output matrix; a check at construction compares with the plain route and falls back to it where the stop does
/// not work.
class StateEvaluator {
 public:
  /// @throws Error{BadInput} when the model's context is shorter than longest_tokens or
  ///   it has no such layer; Error{BadUsage} when there are no kernels for the precision; Error{OutOfMemory}
  StateEvaluator(const Backbone& backbone, const StateOptions& options);
  ~StateEvaluator();
  StateEvaluator(const StateEvaluator&) = delete;
  StateEvaluator& operator=(const StateEvaluator&) = delete;

  /// The numbers depend, by rounding, on which sequences come before in the same call, and on nothing else.
  /// @throws Error{BadInput} when a sequence is empty or longer than longest_tokens, Error{Interrupted}; what the
  ///   visitor throws
  void evaluate(std::span<const TokenSequence> sequences, const StateVisitor& visitor);

  /// The same, but a sequence's numbers depend on nothing but its own tokens and where its prompt ends: a prompt is
  /// evaluated by itself, once for the sequences in a row that begin with it, and what follows it by itself. Models
  /// that cannot share a prefix evaluate each sequence whole.
  /// @param prompt_tokens  [sequences]; fewer than a sequence has, 0: no prompt
  void evaluate_apart(std::span<const TokenSequence> sequences, std::span<const std::size_t> prompt_tokens,
                      const StateVisitor& visitor);

  std::size_t state_size() const;  ///< numbers that a visitor gets: layers x d
  std::size_t batch_rows() const { return options_.batch_rows; }
  bool shares_prefixes() const { return options_.share_prefixes; }
  bool skips_output() const { return skips_output_; }
  std::uint64_t evaluated_tokens() const { return evaluated_tokens_; }
  /// Estimate of the memory that this object needs beside the model: cache, output buffer, attention scores.
  std::size_t context_bytes() const;

 private:
  struct Group;
  struct Context;
  struct Stopper;
  void check_lengths(std::span<const TokenSequence> sequences) const;
  Group take_group(std::span<const TokenSequence> sequences, std::size_t begin, std::size_t kept) const;
  void run(const Group& group, const StateVisitor& visitor);
  void decode_all(const Group& group, const std::function<void(std::size_t row, std::span<const float> state)>& take);
  void decode(const Group& group, std::size_t begin, std::size_t end);
  std::span<const float> state_of(std::size_t row);
  void check_layers();
  void check_skip();

  const Backbone& backbone_;
  StateOptions options_;
  std::unique_ptr<Context> context_;
  bool skips_output_ = false;
  std::uint64_t evaluated_tokens_ = 0;
  std::vector<float> path_;   ///< states of the last sequence as far as the next one shares it
  std::vector<float> state_;  ///< one token's, when several layers are put together
};

/// How many leading tokens two sequences share.
std::size_t shared_prefix(TokenSequence a, TokenSequence b);

/// Tokens per call of the model that cost least: more make better use of the weights, but without flash attention
/// every token is compared with every cell of the cache, also those of other sequences. A function of the model alone,
/// because the last bits of the states depend on it. Derivation: docs/architecture.md.
std::size_t choose_batch_rows(const BackboneIdentity& backbone);

}  // namespace coala
