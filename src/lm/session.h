#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/parallel.h"
#include "lm/backbone.h"

namespace coala {

struct SessionOptions {
  int sequences = 1;      ///< how many can be held at once, 1 to 256
  std::size_t cells = 0;  ///< tokens that the cache can hold; a token that several sequences share counts once
  int threads = 1;
};

/// What a session evaluated so far.
struct SessionCounts {
  std::uint64_t decodes = 0;          ///< calls of llama_decode
  std::uint64_t rows = 0;             ///< tokens evaluated
  std::uint64_t output_rows = 0;      ///< those whose logits were evaluated too
  std::uint64_t attention_pairs = 0;  ///< (token, token it attends to)

  SessionCounts& operator+=(const SessionCounts& other);
};

/// Sequences that a model writes: a prompt that is evaluated once, copies of it that share its place in the cache, and
/// steps that add one token to each of several sequences. One thread at a time.
///
/// The cache is unified, float32 and without flash attention, as in StateEvaluator, so that a state is the one that
/// extraction gives for the same tokens. A cache per sequence would be slower (8 sequences, prompt and reply of 40
/// tokens, 1 thread: 1.1 times with the tests' model, 1.5 times with imdb-llama F16, 1.7 times with Q8_0), and knows no
/// copy of a part.
class Session {
 public:
  struct Row {
    int sequence = 0;
    Token token = 0;
    bool wants_logits = true;  ///< at once; else they may be left for completed()
  };
  /// Views of buffers that are valid until the next call of start(), prefill() or step().
  struct Output {
    std::span<const float> logits;  ///< [vocabulary], of the next token; empty: not evaluated yet
    std::span<const float> state;   ///< [d], after the final norm
  };
  /// An output that outlives the next call.
  struct OwnedOutput {
    std::vector<float> logits, state;

    OwnedOutput() = default;
    explicit OwnedOutput(const Output& output)
        : logits(output.logits.begin(), output.logits.end()), state(output.state.begin(), output.state.end()) {}
    Output view() const { return {logits, state}; }
  };
  /// Receives the state of a prompt's token, valid during the call.
  using PromptVisitor = std::function<void(std::size_t position, std::span<const float> state)>;

  /// @throws Error{BadInput} when the model is an encoder, Error{BadUsage} when the number of sequences or cells is out
  ///   of range, Error{OutOfMemory}
  Session(const Backbone& backbone, const SessionOptions& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Forgets all sequences.
  void clear();

  /// Evaluates a prompt into a sequence; what it held is dropped, other sequences stay.
  /// @param visitor  when given, sees the states of all tokens in order, which costs their logits too
  /// @throws Error{BadInput} for a prompt without tokens or longer than the cells that are left or the model's context,
  ///   Error{Interrupted}
  Output start(int sequence, std::span<const Token> prompt, const PromptVisitor& visitor = {});

  /// Evaluates the next tokens of a prompt, after those that the sequence holds, so that a long one comes in pieces
  /// with steps of other sequences between them. A new prompt begins in an empty sequence, see drop().
  /// @param last  whether the prompt ends with them
  /// @return  what follows the prompt; empty before its end
  /// @throws as start()
  Output prefill(int sequence, std::span<const Token> tokens, bool last, const PromptVisitor& visitor = {});

  /// Makes `to` a copy of `from`; what `to` held is dropped. Nothing is evaluated, the tokens are shared, and only
  /// those are entered that the two do not share yet from an earlier copy.
  void fork(int from, int to);

  /// Appends a token to each of several sequences, at most one to each, in one decode.
  /// @return  one output per row, in their order
  /// @throws Error{BadInput} when the cells are used up or a sequence reaches the end of the model's context,
  ///   Error{Interrupted}
  std::span<const Output> step(std::span<const Row> rows);

  /// The output with its logits, valid until the next call. They are those that step() would have given for fewer than
  /// 16 rows, to the bit; more rows have another kernel, and differ by rounding.
  Output completed(const Output& output);

  /// Forgets a sequence; cells that no other sequence shares become free. A copy stays entered, out of sight, in the
  /// cells that it shares with what it is a copy of, for as long as that has them: the next copy is then quickly made.
  void drop(int sequence);

  /// Forgets all but the first `length` tokens of a sequence.
  /// @throws Error{BadInput} for a model whose memory has no parts that could be forgotten, such as Mamba
  void truncate(int sequence, std::size_t length);

  /// Can a sequence forget its end, or share the beginning of another?
  bool can_truncate() const { return has_parts_; }

  std::size_t length_tokens(int sequence) const;
  /// The same as llama.cpp's own memory sees it, which knows a dropped copy by what it still shares.
  std::size_t held_tokens(int sequence) const;
  const SessionCounts& counts() const { return counts_; }  ///< since construction
  /// Those of the last evaluation, for what follows it; null: none of ours, or nothing is evaluated yet.
  ThreadPool* threads() const { return threads_; }

  /// Estimate of the memory that a session of these options needs beside the model.
  static std::size_t context_bytes(const Backbone& backbone, const SessionOptions& options);

 private:
  struct Context;
  /// What a sequence has in common with the one that it was copied from, or that was copied from it.
  struct Copy {
    int of = -1;             ///< -1: of none
    std::size_t shared = 0;  ///< leading tokens that are in the same cells
  };
  void forget(int sequence);
  void shorten(int sequence, std::size_t length);
  void shorten_copies(int sequence, std::size_t length);
  void check_sequence(int sequence) const;
  enum class Wanted { Nothing, States, Logits };
  void evaluate_logits(std::span<const Row> rows);
  void decode(Wanted wanted);
  Output output(std::size_t row, Wanted wanted = Wanted::Logits) const;

  const Backbone& backbone_;
  SessionOptions options_;
  std::unique_ptr<Context> context_;
  std::vector<std::size_t> lengths_;  ///< of the sequences, in tokens
  std::vector<Copy> copies_;
  bool taps_states_ = false;  ///< see StateRoute
  bool has_parts_;            ///< else a sequence is copied as a whole or not at all
  std::vector<Output> outputs_;
  SessionCounts counts_;
  ThreadPool* threads_ = nullptr;
};

}  // namespace coala
