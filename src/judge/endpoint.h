#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/error.h"

namespace coala {

/// How an OpenAI-compatible server is asked.
struct EndpointSettings {
  std::string url;  ///< up to and with /v1; http or https
  int retries = 6;
  double wait_s = 1;       ///< before the first retry, doubled each time up to a minute; a server's Retry-After counts
  double timeout_s = 120;  ///< of one answer
  std::uint64_t most_calls = 0;  ///< requests of all threads together, retries included; 0: no limit
};

/// What a server says that will not answer a request, however often it is asked.
struct Refusal {
  int status = 0;  ///< of HTTP
  std::string message;
};

/// What a chat completion says, or the refusal of one.
struct EndpointAnswer {
  std::string text;
  nlohmann::ordered_json usage;  ///< as the server says, or null
  int tries = 1;
  bool is_cut = false;              ///< at the most tokens that an answer may have
  nlohmann::ordered_json logprobs;  ///< of its tokens ("logprobs"."content"), or null
  std::optional<Refusal> refusal;   ///< instead of a text
};

/// The limit of calls is reached. Not an error of the work: what is answered is kept.
class BudgetSpent : public std::exception {
 public:
  const char* what() const noexcept override { return "the calls that were allowed are made"; }
};

/// A server of chat completions. Safe to use from several threads. The key comes from the environment variable
/// COALA_JUDGE_KEY and goes into the request's header alone: wherever a server repeats it, it is blotted out.
class Endpoint {
 public:
  /// @throws Error{BadUsage} for a URL that is none, or a key with characters that no header may have
  explicit Endpoint(EndpointSettings settings);
  ~Endpoint();

  /// Asks until there is an answer or a refusal: again after what may pass (408, 409, 425, 429, 5xx, a lost
  /// connection).
  /// @throws Error{Io} when it does not pass, BudgetSpent, Error{Interrupted}
  EndpointAnswer complete(const nlohmann::ordered_json& request);

  /// A refusal that is no question's fault, as one message.
  Error error_of(const Refusal& refusal) const;

  std::uint64_t calls() const { return calls_; }

 private:
  std::string without_key(std::string text) const;
  void take_call();

  EndpointSettings settings_;
  std::string host_;  ///< scheme, host and port
  std::string path_;
  std::string key_;
  std::atomic<std::uint64_t> calls_{0};
};

}  // namespace coala
