#pragma once

#include <httplib.h>

#include <atomic>
#include <chrono>
#include <cstddef>

namespace coala {

/// The limits of a connection.
struct ConnectionLimits {
  std::size_t head_bytes = std::size_t{64} << 10;  ///< of the request line and all header lines
  std::chrono::seconds head_s{10};                 ///< for all of them to come
  std::chrono::seconds body_s{60};                 ///< for the body
  std::chrono::seconds write_s{10};                ///< for a client to take what is written
};

/// cpp-httplib's server with connections of our own: the library (0.11) limits single header lines only once they are
/// read, waits for ever for clients that send a byte now and then, and does not tell a handler whether its client is
/// still there.
class ConnectionServer : public httplib::Server {
 public:
  explicit ConnectionServer(const ConnectionLimits& limits) : limits_(limits) {}

  /// From handlers: has the client of this thread's request closed its connection, or its half of it?
  static bool client_is_gone();
  /// From the first handler of a request: what follows is the body.
  static void head_is_read();
  /// From handlers: the answer does not wait for the end of the body, the rest of which is to be thrown away.
  static void body_may_be_unread();
  /// When the connection was accepted.
  static std::chrono::steady_clock::time_point began();

  /// After binding: connections that may wait to be accepted. The library's 5 make a burst of clients wait a second.
  void allow_burst() const;
  /// That are open.
  std::size_t connections() const { return connections_; }

 private:
  bool process_and_close_socket(socket_t socket) override;

  ConnectionLimits limits_;
  std::atomic<std::size_t> connections_{0};
};

}  // namespace coala
