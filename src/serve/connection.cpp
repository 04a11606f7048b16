#include "serve/connection.h"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>

namespace coala {
namespace {

using Clock = std::chrono::steady_clock;

int left_ms(Clock::time_point latest) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(latest - Clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000));
}

/// Waits for an event. False when it does not come in time.
bool wait_for(int socket, short event, Clock::time_point latest) {
  pollfd asked{socket, event, 0};
  int found = 0;
  do {
    found = ::poll(&asked, 1, left_ms(latest));
  } while (found < 0 && errno == EINTR);
  return found > 0;
}

class Connection : public httplib::Stream {
 public:
  Connection(int socket, const ConnectionLimits& limits)
      : socket_(socket), limits_(limits), began_(Clock::now()), latest_(began_ + limits.head_s) {}

  bool is_readable() const override { return read_ < filled_ || wait_for(socket_, POLLIN, latest_); }
  bool is_writable() const override { return !gone() && wait_for(socket_, POLLOUT, Clock::now() + limits_.write_s); }
  ssize_t read(char* to, std::size_t size) override {
    if (read_ == filled_) {
      if (!wait_for(socket_, POLLIN, latest_)) return -1;
      const ssize_t got = ::recv(socket_, buffer_.data(), buffer_.size(), 0);
      if (got <= 0) return got;
      read_ = 0;
      filled_ = static_cast<std::size_t>(got);
    }
    const std::size_t taken = std::min(size, filled_ - read_);
    if (in_head_ && (head_ += taken) > limits_.head_bytes) return -1;
    std::memcpy(to, buffer_.data() + read_, taken);
    read_ += taken;
    return static_cast<ssize_t>(taken);
  }
  ssize_t write(const char* from, std::size_t size) override {
    if (head_was_too_long()) return static_cast<ssize_t>(size);  // the library's answer; ours comes
    if (!wait_for(socket_, POLLOUT, Clock::now() + limits_.write_s)) return -1;
    return ::send(socket_, from, size, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  // Nobody asks.
  void get_remote_ip_and_port(std::string& ip, int& port) const override { ip.clear(), port = 0; }
  void get_local_ip_and_port(std::string& ip, int& port) const override { ip.clear(), port = 0; }
  socket_t socket() const override { return socket_; }

  bool gone() const {
    pollfd asked{socket_, POLLRDHUP, 0};
    return ::poll(&asked, 1, 0) > 0;
  }
  void end_head() {
    in_head_ = false;
    latest_ = Clock::now() + limits_.body_s;
  }
  void drain_at_end() { drains_ = true; }
  bool drains() const { return drains_ || in_head_; }
  bool head_was_too_long() const { return in_head_ && head_ > limits_.head_bytes; }
  Clock::time_point began() const { return began_; }

  /// Reads what is still coming, for a while. A socket that is closed before takes the answer along.
  void drain() {
    constexpr std::chrono::milliseconds kPatience{500};
    constexpr std::size_t kMost_bytes = std::size_t{256} << 20;
    ::shutdown(socket_, SHUT_WR);
    const Clock::time_point latest = Clock::now() + 4 * kPatience;
    for (std::size_t all = 0; all < kMost_bytes && Clock::now() < latest;) {
      if (!wait_for(socket_, POLLIN, Clock::now() + kPatience)) return;
      const ssize_t got = ::recv(socket_, buffer_.data(), buffer_.size(), 0);
      if (got <= 0) return;
      all += static_cast<std::size_t>(got);
    }
  }

 private:
  int socket_;
  const ConnectionLimits& limits_;
  Clock::time_point began_, latest_;
  bool in_head_ = true;
  bool drains_ = false;
  std::size_t head_ = 0;
  std::size_t read_ = 0, filled_ = 0;  ///< of the buffer
  std::array<char, 16384> buffer_;
};

/// That of this thread's request; a thread serves one at a time.
thread_local Connection* current = nullptr;

}  // namespace

bool ConnectionServer::client_is_gone() {
  return current != nullptr && current->gone();
}

void ConnectionServer::head_is_read() {
  if (current != nullptr) current->end_head();
}

void ConnectionServer::body_may_be_unread() {
  if (current != nullptr) current->drain_at_end();
}

Clock::time_point ConnectionServer::began() {
  return current == nullptr ? Clock::now() : current->began();
}

void ConnectionServer::allow_burst() const {
  constexpr int kBurst = 512;
  ::listen(svr_sock_, kBurst);
}

bool ConnectionServer::process_and_close_socket(socket_t socket) {
  const int yes = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  ++connections_;
  Connection connection(socket, limits_);
  current = &connection;
  bool closed = false;
  const bool served = process_request(connection, /*close_connection=*/true, closed, nullptr);
  if (connection.head_was_too_long()) {
    const std::string body =
        R"({"error":{"message":"the header lines are too long","type":"invalid_request_error","param":null,)"
        R"("code":"headers_too_large"}})";
    const std::string answer = fmt::format(
        "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: application/json\r\nContent-Length: {}\r\n"
        "Connection: close\r\n\r\n{}",
        body.size(), body);
    ::send(socket, answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  if (connection.drains() && !connection.gone()) connection.drain();
  current = nullptr;
  ::shutdown(socket, SHUT_RDWR);
  ::close(socket);
  --connections_;
  return served;
}

}  // namespace coala
