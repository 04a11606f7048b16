#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "lm/backbone.h"

struct llama_context;

namespace coala {

/// Sequences that start alike: a trunk, evaluated once, and branches that continue it without seeing each other.
/// The trunk may be empty, and so may be the branches, but not both.
struct TokenTree {
  std::span<const Token> trunk;
  std::vector<std::span<const Token>> branches;
};

/// Receives the last hidden state after the final norm, [d], valid during the call.
/// @param branch  which branch the token belongs to; kTrunk for the trunk's
/// @param position  of the token in its sequence, counted from the start of the trunk
/// A branch's states come in the order of their positions, and after those of the trunk.
using StateVisitor = std::function<void(int branch, std::size_t position, std::span<const float> state)>;
inline constexpr int kTrunk = -1;

struct StateOptions {
  std::size_t longest_tokens = 512;  ///< longest sequence, trunk included
  int threads = 0;                   ///< 0: all cores this process may use
  bool share_trunk = true;           ///< false: the trunk is evaluated anew for each branch (slower, same numbers)
  bool skip_output = true;           ///< false: the output matrix is evaluated too (slower, same numbers)
};

/// Evaluates token trees with a model. One thread at a time.
///
/// Features must reproduce, so the cache is float32 and flash attention is off: with either, states would move by up
/// to 1e-2 with what else is in the batch. The graph is stopped after the final norm, which leaves out the output
/// matrix; a check at construction compares with the plain route and falls back to it where the stop does not work.
class StateEvaluator {
 public:
  /// @throws Error{BadInput} when the model is no causal language model or its context is shorter than longest_tokens,
  ///   Error{OutOfMemory}
  StateEvaluator(const Backbone& backbone, const StateOptions& options);
  ~StateEvaluator();
  StateEvaluator(const StateEvaluator&) = delete;
  StateEvaluator& operator=(const StateEvaluator&) = delete;

  /// @throws Error{BadInput} when a sequence is longer than longest_tokens, Error{Interrupted}; what the visitor throws
  void evaluate(const TokenTree& tree, const StateVisitor& visitor);

  bool skips_output() const { return skips_output_; }
  std::uint64_t evaluated_tokens() const { return evaluated_tokens_; }
  /// Estimate of the memory that this object needs beside the model: cache, output buffer, attention scores.
  std::size_t context_bytes() const;

 private:
  struct Row;
  struct Context;
  void run(std::span<const Row> rows, const StateVisitor& visitor);
  void check_skip();

  const Backbone& backbone_;
  StateOptions options_;
  std::unique_ptr<Context> context_;
  bool skips_output_ = false;
  std::uint64_t evaluated_tokens_ = 0;
};

}  // namespace coala
