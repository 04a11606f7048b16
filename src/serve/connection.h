#pragma once

#include <httplib.h>

#include <atomic>
#include <chrono>
#include <cstddef>

#include "serve/waiting_room.h"

namespace coala {

/// cpp-httplib's server with connections of our own: the library (0.11) limits single header lines only once they are
/// read, waits for ever for clients that send a byte now and then, does not tell a handler whether its client is still
/// there, and has a thread wait for each client that sends nothing.
class ConnectionServer : public httplib::Server {
 public:
  /// @param threads  that serve requests which have come
  ConnectionServer(const ConnectionLimits& limits, std::size_t threads);

  /// From handlers: has the client of this thread's request closed its connection, or its half of it?
  static bool client_is_gone();
  /// From the first handler of a request: what follows is the body.
  static void head_is_read();
  /// From handlers: the answer does not wait for the end of the body, the rest of which is to be thrown away.
  static void body_may_be_unread();
  /// From handlers: was what could not be read of the body too late?
  static bool came_too_slowly();
  /// When the connection was accepted.
  static std::chrono::steady_clock::time_point began();

  /// After binding: connections that may wait to be accepted. The library's 5 make a burst of clients wait a second.
  void allow_burst() const;
  /// Those whose request has come and is not answered yet.
  std::size_t connections() const { return connections_; }

 private:
  class Reception;
  bool process_and_close_socket(socket_t socket) override;
  void serve(WaitingRoom::Arrival&& arrival);

  ConnectionLimits limits_;
  WaitingRoom* room_ = nullptr;  ///< while it listens
  std::atomic<std::size_t> connections_{0};
};

}  // namespace coala
