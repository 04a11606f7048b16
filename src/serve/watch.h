#pragma once

#include <chrono>

#include "serve/connection.h"
#include "serve/request_error.h"

namespace coala {

/// Watches over the request that a thread answers: is somebody still waiting, and is there time left?
class Watch {
 public:
  using Clock = std::chrono::steady_clock;
  /// How often one looks who waits for something else.
  static constexpr std::chrono::milliseconds kLook{100};

  explicit Watch(std::chrono::seconds limit) : limit_(limit) {}

  Clock::time_point began() const { return began_; }
  /// Of a client that is gone nobody takes an answer; the status is for the count.
  static constexpr int kGone = 499;
  /// @throws RequestError
  void check() const {
    if (ConnectionServer::client_is_gone())
      throw RequestError(kGone, "client_closed_request", "the client has left, or closed its sending half");
    if (Clock::now() - began_ < limit_) return;
    throw RequestError(504, "time_limit", "the request has taken longer than this server allows", "",
                       "ask for less, or ask when there is less to do");
  }

 private:
  Clock::time_point began_ = ConnectionServer::began();
  std::chrono::seconds limit_;
};

}  // namespace coala
