#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "coala/api.h"
#include "coala/context.h"
#include "coala/error.h"
#include "coala/head.h"
#include "coala/model.h"
#include "coala/records.h"

namespace coala::v1 {

/// How a token is drawn. The order: biases, penalties, grammar, top-k, top-p, min-p, temperature.
struct Sampling {
  double temperature = 0.7;                        ///< 0: always the most probable token; else 0.001 to 1000
  double top_p = 0.9;                              ///< the most probable tokens that have this mass; in (0, 1], 1: all
  int top_k = 40;                                  ///< so many; 0: all
  double min_p = 0;                                ///< those above this share of the most probable one; in [0, 1]
  double repeat_penalty = 1;                       ///< 0.1 to 10, 1: none
  double presence_penalty = 0;                     ///< -10 to 10
  double frequency_penalty = 0;                    ///< -10 to 10
  std::size_t repeat_last_tokens = 64;             ///< how far back the penalties look
  std::map<std::int32_t, double> logit_bias = {};  ///< by token; -infinity rules it out
};

/// A head that guides, and how strongly.
struct GuidingHead {
  Head head;
  double scale = 1;  ///< times which its opinion is added to the logits; for EachToken, Bias and Branch
};

/// What is asked of a model: replies to a prompt.
struct Request {
  Prompt prompt = {};
  std::size_t max_tokens = 128;  ///< of a reply, >= 1
  int samples = 1;               ///< replies, drawn independently; 1 where a head chooses one of several
  Sampling sampling = {};
  std::uint64_t seed = 0;
  std::vector<std::string> stops = {};             ///< a reply ends before the first of these
  std::string grammar = {};                        ///< GBNF that replies conform to; "": none
  bool thinking = false;                           ///< let a model think first, where its template knows that
  std::optional<TemplateMode> template_mode = {};  ///< absent: as the heads were trained, else the model's

  Guidance guidance = Guidance::None;
  std::vector<GuidingHead> heads = {};  ///< EachToken: 1 or more, their opinions added; None: 0; else 1
  std::optional<int> candidates = {};   ///< BestOfN, Sentence, Branch: to choose from; absent: 8, 8, 15
  int guide_every = 5;                  ///< Branch: every so many tokens
  bool allow_unbound = false;           ///< accept heads that do not say which model they are for

  /// Takes the reply's text as it grows, whole characters at a time (with Sentence, whole sentences), and says whether
  /// to go on. For one sample that is written as it stays: not with BestOfN. Runs on the thread that steps; an Error
  /// that it throws ends the request, other exceptions come out there.
  std::function<bool(std::string_view)> on_text = {};
};

/// How a reply ended.
enum class Finish {
  Stop,     ///< the model ended it, or a stop string
  Length,   ///< at max_tokens
  Context,  ///< the model's context is full
  Stopped,  ///< on_text said so: `text` is what it was told, and what needs the end is not known
};

struct Reply {
  std::string text = {};
  std::string reasoning = {};  ///< what the model thought before; "" for most
  Finish finish = Finish::Length;
  std::size_t tokens = 0;
  double log_probability = 0;        ///< of all tokens, the end included, under the model as it is
  double divergence = 0;             ///< how far token heads have moved its distributions: nats, sum over tokens
  std::optional<double> score = {};  ///< by the head, where that is a part of the guidance
};

/// The replies to a request: its samples, or the one that the head likes best.
/// @throws Error{BadUsage} for a setting out of range, a guidance without its head or a head without a token head;
///   Error{Mismatch} for a head of another model; Error{BadInput} for a prompt that leaves no room or that the template
///   refuses; Error{OutOfMemory, Interrupted}
COALA_API std::vector<Reply> generate(const Model& model, const Request& request, const Context& context = {});

struct EngineSettings {
  int streams = 4;  ///< replies that are written together
  /// Sequences beside theirs, which Branch and Sentence need: as many as their candidates, for each reply.
  int branches = 16;
  std::size_t cells = 8192;  ///< tokens of prompts and replies that the cache holds; at most a context for each stream
  std::size_t prompt_rows = 128;  ///< tokens of prompts that are evaluated between two tokens of the replies
  /// Prompts with their replies that stay where there is room: what a prompt has in common with one of them is not
  /// evaluated again. Its numbers then differ by rounding.
  int kept_texts = 4;
};

/// Writes replies to requests that come and go, each with settings, heads and scales of its own, with one decode per
/// token of all of them. One thread at a time; several engines may run in as many threads.
class COALA_API Engine {
 public:
  using Ticket = std::uint64_t;
  using OnDone = std::function<void(std::vector<Reply>&&)>;
  using OnFailure = std::function<void(const Error&)>;

  /// @param context  of all steps. @throws Error{BadUsage, OutOfMemory}
  Engine(const Model& model, const EngineSettings& settings = {}, const Context& context = {});
  ~Engine();
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;

  /// Requests begin in the order in which they come, when there is room for them.
  /// @param on_done, on_failure  one of them is called once, by step(), unless the request is cancelled
  /// @throws Error as generate(); Error{BadUsage} for more candidates than there are branches
  Ticket submit(const Request& request, OnDone on_done, OnFailure on_failure = {});
  /// One token of every reply. What is wrong with a request goes to its on_failure and concerns no other.
  /// @return  whether there is more to do
  /// @throws what callbacks throw, Error{Interrupted}; all requests are forgotten then
  bool step();
  /// Forgets a request; its callbacks are not called. Not from on_text, which returns false instead.
  void cancel(Ticket ticket);
  std::size_t waiting() const;  ///< requests that are not begun
  std::size_t writing() const;  ///< replies

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coala::v1
