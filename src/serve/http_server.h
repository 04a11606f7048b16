#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "serve/current_model.h"
#include "serve/metrics.h"
#include "serve/scheduler.h"
#include "serve/score_queue.h"

namespace coala {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;                       ///< 0: any that is free
  std::string key;                       ///< that clients must send as a bearer token; empty: none
  std::vector<std::string> origins;      ///< of pages in browsers that may ask
  bool strict = false;                   ///< unknown parameters are refused
  std::chrono::seconds time_limit{600};  ///< of a request, from its connection to the last token
  std::size_t most_tokens = 1024;        ///< of a reply
  std::size_t most_prompt_tokens = 0;    ///< of a prompt
  std::size_t cells = 0;                 ///< tokens of a prompt with its reply, at most
  std::size_t most_requests = 64;        ///< that write or wait together
  int streams = 1;                       ///< replies that are written together
  int threads = 1;                       ///< for what is made of the taught head

  /// @throws Error{BadUsage} for an address that others can reach, without a key
  void validate() const;
};

/// OpenAI's API over HTTP, endpoints that score, and what says how the server is (docs/server.md).
class HttpServer {
 public:
  /// All must outlive it.
  HttpServer(const CurrentModel& model, Scheduler& scheduler, ScoreQueue& scores, Metrics& metrics,
             const ServerOptions& options);
  ~HttpServer();

  /// Serves until the user's interrupt.
  /// @param on_ready  gets the port
  /// @throws Error{Interrupted}; Error{Io} when the address cannot be listened at, or no longer
  void run(const std::function<void(int port)>& on_ready);

 private:
  struct Routes;
  std::unique_ptr<Routes> routes_;
  ServerOptions options_;
};

}  // namespace coala
