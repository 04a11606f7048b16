#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "decode/engine.h"

namespace coala {

/// An engine on a thread of its own, for requests that come from others. Callbacks of a request run on the engine's
/// thread, and must neither throw nor wait.
class Scheduler {
 public:
  using Ticket = std::uint64_t;
  /// What there is to do.
  struct Load {
    std::size_t waiting = 0;  ///< requests whose prompts are not begun
    std::size_t writing = 0;  ///< replies
    std::size_t cells = 0;    ///< of the cache, that these hold
    double last_step_s = 0;   ///< age of the last step; 0 when there is nothing to do
    std::uint64_t steps = 0;  ///< since the start
  };

  /// @param most_waiting  requests that may wait; more are refused
  Scheduler(const Backbone& backbone, const EngineOptions& options, std::size_t most_waiting);
  /// Ends what is being written: its requests fail.
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  /// @throws Error{BadUsage} for settings out of range, RequestError when too many wait, Error{Interrupted} after
  ///   stop()
  Ticket submit(Request request);
  /// Forgets a request; its callbacks are not called after it is forgotten, which is soon and not at once.
  void cancel(Ticket ticket);
  /// Fails all requests, and those to come.
  void stop();

  Load load() const;

 private:
  struct Begun {
    Engine::Ticket ticket = 0;
    std::function<void(const Error&)> on_failure;
  };
  void run();
  void begin(Ticket ticket, Request&& request);
  void fail_all(const Error& error);
  /// Does it; what it throws fails everything that is being written.
  void guarded(const std::function<void()>& work);

  Engine engine_;
  const std::size_t most_waiting_;
  std::map<Ticket, Begun> begun_;  ///< the engine's thread's

  mutable std::mutex mutex_;  ///< of what follows
  std::condition_variable wake_;
  std::vector<std::function<void()>> orders_;
  Ticket last_ticket_ = 0;
  std::size_t ordered_ = 0;  ///< requests among the orders
  bool busy_ = false;
  bool stopped_ = false;
  Load load_;
  std::chrono::steady_clock::time_point last_step_;

  std::thread thread_;
};

}  // namespace coala
