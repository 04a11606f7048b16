#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "core/error.h"
#include "decode/generation_settings.h"
#include "decode/guide.h"
#include "decode/prefix_cache.h"
#include "decode/reply.h"
#include "decode/token_drawer.h"
#include "lm/session.h"

namespace coala {

/// What is asked of an engine: replies to a prompt, by settings of its own.
struct Request {
  EncodedPrompt prompt;
  GenerationSettings settings;
  /// Takes the replies, in the order of their numbers, when the last of them is written.
  std::function<void(std::vector<Reply>&&)> on_done;
  /// Takes what made this request, and no other, fail. Nothing more comes of it.
  std::function<void(const Error&)> on_failure;
};

struct EngineOptions {
  int streams = 1;        ///< replies that are written together
  int branches = 0;       ///< sequences beside theirs, for branches and continuations of all of them
  std::size_t cells = 0;  ///< tokens that the cache can hold, see SessionOptions
  int threads = 1;
  /// Tokens of prompts that are evaluated between two steps of the replies: no reply waits longer for a prompt.
  std::size_t prompt_rows = std::numeric_limits<std::size_t>::max();
  /// So many of the last prompts, each with the reply to it that ended last, stay where there is room: what a prompt
  /// has in common with one of them is not evaluated again. Its numbers then differ by rounding from those of a prompt
  /// that is evaluated as a whole.
  int kept_texts = 0;
};

/// Writes replies to requests that come and go, however they are guided, with one decode per token of all of them:
/// branches and continuations are rows as any others. One thread at a time.
///
/// A request waits until a stream and the branches that it needs are free, and its prompt and one reply of full length
/// fit into the cells that nobody may still need; requests are begun in the order in which they came. Its prompt is
/// evaluated once for all of its replies. What is wrong with a request, and an Error that its on_text throws, ends
/// it and no other.
class Engine {
 public:
  using Ticket = std::uint64_t;

  /// @throws Error{BadUsage} for options out of range, Error{OutOfMemory}
  Engine(const Backbone& backbone, const EngineOptions& options);
  ~Engine();

  /// @throws Error{BadUsage} for settings out of range, or that need more branches than there are
  Ticket submit(Request request);

  /// Evaluates prompts that may begin, and then one token of every reply; calls on_done and on_failure.
  /// @return  whether there is more to do
  /// @throws what callbacks throw, Error{Interrupted}, and Error{Internal} when a decode fails as a whole; clear() must
  ///   follow
  bool step();

  /// Forgets a request; its callbacks are not called. Unknown tickets are those that are done. From on_done and
  /// on_failure too, but not from a settings' on_text.
  void cancel(Ticket ticket);
  /// Forgets all of them.
  void clear();

  std::size_t waiting() const { return queue_.size(); }  ///< requests whose prompts are not begun
  std::size_t writing() const;                           ///< replies
  std::size_t held_cells() const;                        ///< that requests may still need, and nobody else gets
  const SessionCounts& counts() const { return session_.counts(); }

  /// Estimate of what an engine needs beside the model.
  static std::size_t context_bytes(const Backbone& backbone, const EngineOptions& options);

 private:
  struct Job;
  struct Writing;
  bool begin_next();
  bool begin_reply();
  void open_prompts();
  bool has_sequences_for(const Job& job) const;
  Writing& place_reply(const std::shared_ptr<Job>& job);
  void release(const Writing& writing);
  void step_replies();
  void end(const Writing& writing);
  void fail(const std::shared_ptr<Job>& job, const Error& error);
  void forget(const Job& job);
  std::size_t cells_of_reply(const Job& job) const;
  void keep(const Writing& writing);

  const Backbone& backbone_;
  EngineOptions options_;
  Session session_;
  TokenDrawer drawer_;
  Ticket last_ticket_ = 0;
  std::deque<std::shared_ptr<Job>> queue_;
  PrefixCache prompts_;
  std::shared_ptr<Job> opened_;  ///< whose prompt is being evaluated, or has replies that are not begun
  std::vector<Writing> active_;
  std::vector<std::shared_ptr<Job>> ending_;       ///< of the step that is being taken; their callbacks are to come
  std::vector<int> free_streams_, free_branches_;  ///< sequences
};

}  // namespace coala
