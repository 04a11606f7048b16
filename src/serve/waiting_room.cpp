#include "serve/waiting_room.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "core/error.h"
#include "serve/request_head.h"
#include "serve/socket_error.h"

namespace coala {
namespace {

/// How long a client that has its answer may send nothing, and send at all.
constexpr std::chrono::milliseconds kPatience{500};
constexpr std::chrono::milliseconds kLongestDrain{2000};
constexpr std::uint64_t kMostDrained_bytes = std::uint64_t{256} << 20;

}  // namespace

WaitingRoom::WaitingRoom(const ConnectionLimits& limits, std::function<void(Arrival&&)> arrived)
    : limits_(limits),
      arrived_(std::move(arrived)),
      bell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      buffer_(std::size_t{64} << 10, '\0') {
  if (bell_ < 0) throw Error(ErrorCode::Io, "there are too many open files");
  thread_ = std::thread([this] { run(); });
}

WaitingRoom::~WaitingRoom() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = ends_ = true;
  }
  wake();
  thread_.join();
  ::close(bell_);
}

void WaitingRoom::await(int socket) {
  const Clock::time_point now = Clock::now();
  {
    const std::lock_guard lock(mutex_);
    coming_.push_back({{socket, {}, now}, false, now + limits_.head_time, {}, 0});
  }
  wake();
}

void WaitingRoom::drain(int socket) {
  Guest guest{{socket, {}, Clock::now()}, false, {}, {}, 0};
  begin_draining(guest);
  {
    const std::lock_guard lock(mutex_);
    coming_.push_back(std::move(guest));
  }
  wake();
}

void WaitingRoom::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  wake();
}

void WaitingRoom::wake() const {
  const std::uint64_t one = 1;
  // It fails only when the bell has been rung very often, and then it rings.
  [[maybe_unused]] const ssize_t rung = ::write(bell_, &one, sizeof one);
}

void WaitingRoom::begin_draining(Guest& guest) const {
  ::shutdown(guest.arrival.socket, SHUT_WR);
  guest.drains = true;
  guest.latest = Clock::now() + kLongestDrain;
  guest.patient_until = Clock::now() + kPatience;
}

void WaitingRoom::run() {
  std::vector<pollfd> asked;
  for (;;) {
    take_in();
    asked.assign(1, {bell_, POLLIN, 0});
    Clock::time_point next = Clock::now() + std::chrono::hours(1);
    for (const Guest& guest : guests_) {
      asked.push_back({guest.arrival.socket, POLLIN, 0});
      next = std::min(next, guest.drains ? std::min(guest.latest, guest.patient_until) : guest.latest);
    }
    {
      const std::lock_guard lock(mutex_);
      if (ends_ && guests_.empty() && coming_.empty()) return;
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
    ::poll(asked.data(), asked.size(), static_cast<int>(std::max<std::int64_t>(0, left)));
    if (asked[0].revents != 0) {
      std::uint64_t rung = 0;
      [[maybe_unused]] const ssize_t read = ::read(bell_, &rung, sizeof rung);
    }
    std::size_t place = 1;
    for (auto guest = guests_.begin(); guest != guests_.end(); ++place) {
      const bool leaves = asked[place].revents != 0 ? receive(*guest) : leave_late(*guest);
      guest = leaves ? guests_.erase(guest) : std::next(guest);
    }
  }
}

/// Those who have come meanwhile; the doors may be closed to them, or others have to go.
void WaitingRoom::take_in() {
  const std::lock_guard lock(mutex_);
  guests_.splice(guests_.end(), coming_);
  auto waiting = static_cast<std::size_t>(std::ranges::count(guests_, false, &Guest::drains));
  for (auto guest = guests_.begin(); guest != guests_.end() && (closed_ || waiting > limits_.most_silent);) {
    if (guest->drains) {
      ++guest;
      continue;
    }
    close_socket(guest->arrival.socket);
    guest = guests_.erase(guest);
    --waiting;
  }
}

/// @return  whether the guest has left
bool WaitingRoom::receive(Guest& guest) {
  const int socket = guest.arrival.socket;
  const ssize_t got = ::recv(socket, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return leave_late(guest);
  std::string& begun = guest.arrival.begun;
  const bool is_over = got <= 0;
  const auto count = static_cast<std::size_t>(std::max<ssize_t>(0, got));
  if (guest.drains) {
    guest.drained_bytes += count;
    guest.patient_until = Clock::now() + kPatience;
    if (!is_over && guest.drained_bytes < kMostDrained_bytes) return leave_late(guest);
    close_socket(socket);
    return true;
  }
  begun.append(buffer_, 0, count);
  if (got < 0 || (is_over && begun.empty())) {
    close_socket(socket);
    return true;
  }
  if (!is_over && begun.size() <= limits_.head_bytes && head_bytes(begun, begun.size() - count) == 0)
    return leave_late(guest);
  const std::lock_guard lock(mutex_);  // nobody is handed over once the doors are closed
  if (closed_) {
    close_socket(socket);
  } else {
    arrived_(std::move(guest.arrival));
  }
  return true;
}

/// @return  whether the guest has left, because its time is over
bool WaitingRoom::leave_late(Guest& guest) {
  const Clock::time_point now = Clock::now();
  if (now < guest.latest && (!guest.drains || now < guest.patient_until)) return false;
  if (!guest.drains && !guest.arrival.begun.empty()) {
    send_error(guest.arrival.socket, RequestError(408, "request_timeout", "the request comes too slowly"));
    begin_draining(guest);
    return false;
  }
  close_socket(guest.arrival.socket);
  return true;
}

}  // namespace coala
