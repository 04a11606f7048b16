#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "serve/scheduler.h"
#include "serve/served_model.h"

namespace coala {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;                 ///< 0: any that is free
  std::string key;                 ///< that clients must send as a bearer token; empty: none
  std::size_t most_tokens = 1024;  ///< of a reply
  std::size_t cells = 0;           ///< tokens of a prompt with its reply, at most
  std::size_t most_requests = 64;  ///< that write or wait together
};

/// OpenAI's API over HTTP: chat completions and completions, whole or as server-sent events, models, health.
class HttpServer {
 public:
  /// Both must outlive it.
  HttpServer(const ServedModel& model, Scheduler& scheduler, const ServerOptions& options);
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
