#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/error.h"
#include "decode/reply.h"

namespace coala {

/// What comes of requests, from the engine's thread to that of a connection.
class Outcome {
 public:
  struct Event {
    std::size_t choice = 0;
    /// More text, tokens as they were drawn, the whole reply, or what went wrong.
    std::variant<std::string, std::vector<DrawnToken>, Reply, Error> what;
  };

  void put(Event event) {
    {
      const std::lock_guard lock(mutex_);
      events_.push_back(std::move(event));
    }
    wake_.notify_one();
  }
  /// The next event; nothing when none comes in time.
  std::optional<Event> next(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    if (!wake_.wait_for(lock, patience, [this] { return !events_.empty(); })) return std::nullopt;
    Event event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Event> events_;
};

}  // namespace coala
