#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <thread>

namespace coala {

/// The limits of a connection.
struct ConnectionLimits {
  std::size_t head_bytes = std::size_t{64} << 10;  ///< of the request line and all header lines
  std::chrono::milliseconds head_time{10'000};     ///< for all of them to come
  std::chrono::milliseconds body_time{60'000};     ///< for the body
  std::chrono::milliseconds write_time{10'000};    ///< for a client to take what is written
  std::chrono::milliseconds silence{20'000};       ///< of a client's machine, which acknowledges nothing: it is gone
  std::size_t most_silent = 512;                   ///< whose request has not come yet; of more the oldest is closed
};

/// Sockets that are waited for without a thread each: those whose request has not come yet, and those that have their
/// answer and still send. One thread looks after all of them.
class WaitingRoom {
 public:
  using Clock = std::chrono::steady_clock;
  /// A socket whose request can be read: its lines are there, or will never be.
  struct Arrival {
    int socket = -1;
    std::string begun;        ///< what has come
    Clock::time_point since;  ///< when it was accepted
  };

  /// @param arrived  takes a socket over; from the room's thread, and must not wait
  /// @throws Error{Io}
  WaitingRoom(const ConnectionLimits& limits, std::function<void(Arrival&&)> arrived);
  /// Waits until the sockets of drain() are closed.
  ~WaitingRoom();
  WaitingRoom(const WaitingRoom&) = delete;
  WaitingRoom& operator=(const WaitingRoom&) = delete;

  /// Waits for a request; the socket is closed when none comes in time. A part of one is answered with status 408.
  void await(int socket);
  /// Reads what is still coming, for a while, and closes the socket: closed before, it would take the answer along.
  void drain(int socket);
  /// Closes the sockets of await(), now and from now on.
  void close();

 private:
  struct Guest {
    Arrival arrival;
    bool drains = false;
    Clock::time_point latest;         ///< when the socket is closed
    Clock::time_point patient_until;  ///< of one that drains, if nothing comes; never later than latest
    std::uint64_t drained_bytes = 0;
  };
  using Guests = std::list<Guest>;
  void run();
  void take_in();
  bool receive(Guest& guest);
  bool leave_late(Guest& guest);
  void begin_draining(Guest& guest) const;
  void wake() const;

  const ConnectionLimits& limits_;
  std::function<void(Arrival&&)> arrived_;
  int bell_;
  std::mutex mutex_;  ///< of the next three
  Guests coming_;
  bool closed_ = false;
  bool ends_ = false;
  Guests guests_;  ///< of the thread alone, in the order of their coming
  std::string buffer_;
  std::thread thread_;
};

}  // namespace coala
