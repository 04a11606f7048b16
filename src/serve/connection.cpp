#include "serve/connection.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "serve/chunk_framing.h"
#include "serve/request_head.h"
#include "serve/socket_error.h"

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
  Connection(WaitingRoom::Arrival&& arrival, const ConnectionLimits& limits)
      : socket_(arrival.socket),
        limits_(limits),
        began_(arrival.since),
        latest_(began_ + limits.head_time),
        buffer_(std::move(arrival.begun)) {}

  bool is_readable() const override { return read_ < buffer_.size() || wait_for(socket_, POLLIN, latest_); }
  bool is_writable() const override { return !gone() && wait_for(socket_, POLLOUT, Clock::now() + limits_.write_time); }
  ssize_t read(char* to, std::size_t size) override {
    if (read_ == buffer_.size()) {
      is_late_ = !wait_for(socket_, POLLIN, latest_);
      if (is_late_) return -1;
      read_ = 0;
      buffer_.resize(kPiece_bytes);
      const ssize_t got = ::recv(socket_, buffer_.data(), buffer_.size(), 0);
      buffer_.resize(static_cast<std::size_t>(std::max<ssize_t>(0, got)));
      if (got <= 0) return got;
    }
    const std::size_t taken = std::min(size, buffer_.size() - read_);
    if (in_head_ && (head_ += taken) > limits_.head_bytes) return -1;
    std::memcpy(to, buffer_.data() + read_, taken);
    read_ += taken;
    if (!in_head_ && chunks_ && !chunks_->follow({to, taken})) return -1;
    return static_cast<ssize_t>(taken);
  }
  ssize_t write(const char* from, std::size_t size) override {
    if (head_was_too_long()) return static_cast<ssize_t>(size);  // the library's answer; ours comes
    if (!wait_for(socket_, POLLOUT, Clock::now() + limits_.write_time)) return -1;
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
  void expect_chunks() { chunks_.emplace(); }
  void end_head() {
    in_head_ = false;
    latest_ = Clock::now() + limits_.body_time;
  }
  void drain_at_end() { drains_ = true; }
  bool drains() const { return drains_ || in_head_; }
  bool head_was_too_long() const { return in_head_ && head_ > limits_.head_bytes; }
  Clock::time_point began() const { return began_; }
  bool is_late() const { return is_late_; }

 private:
  int socket_;
  const ConnectionLimits& limits_;
  Clock::time_point began_, latest_;
  bool in_head_ = true;
  bool drains_ = false;
  bool is_late_ = false;
  std::optional<ChunkFraming> chunks_;  ///< of a body that comes in chunks
  std::size_t head_ = 0;
  static constexpr std::size_t kPiece_bytes = 16384;
  std::string buffer_;    ///< what has come, of which
  std::size_t read_ = 0;  ///< so much is read
};

/// The library (0.11) reads every header as part of an address: "a%41" would be "aA", no key that has a percent sign
/// would ever be right, and "chun%6Bed" would be chunked here and nowhere else.
/// @param head  bytes of the request line and the header lines, which come first
void shield_headers(std::string& come, std::size_t head) {
  std::string shielded;
  for (std::size_t i = come.find('\n'); i < head; ++i) shielded += come[i] == '%' ? "%25" : std::string(1, come[i]);
  come.replace(come.find('\n'), head - come.find('\n'), shielded);
}

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

bool ConnectionServer::came_too_slowly() {
  return current != nullptr && current->is_late();
}

/// Takes what the library accepts at once, for the room to wait with, and serves in threads what has come.
class ConnectionServer::Reception : public httplib::TaskQueue {
 public:
  Reception(ConnectionServer& server, std::size_t threads)
      : server_(server),
        room_(server.limits_,
              [this](WaitingRoom::Arrival&& arrival) {
                ++server_.connections_;
                const auto shared = std::make_shared<WaitingRoom::Arrival>(std::move(arrival));
                pool_.enqueue([this, shared] { server_.serve(std::move(*shared)); });
              }),
        pool_(threads) {
    server_.room_ = &room_;
  }
  ~Reception() override { server_.room_ = nullptr; }
  void enqueue(std::function<void()> take) override { take(); }
  void shutdown() override {
    room_.close();
    pool_.shutdown();
  }

 private:
  ConnectionServer& server_;
  WaitingRoom room_;  // which may throw, where the library's pool would not end its threads
  httplib::ThreadPool pool_;
};

ConnectionServer::ConnectionServer(const ConnectionLimits& limits, std::size_t threads) : limits_(limits) {
  new_task_queue = [this, threads] { return new Reception(*this, threads); };
}

bool ConnectionServer::process_and_close_socket(socket_t socket) {
  const auto set = [&](int level, int name, int value) { ::setsockopt(socket, level, name, &value, sizeof value); };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  // A machine that is gone without a word is noticed while nothing is written to it, and while something is.
  const auto silence_s = static_cast<int>(std::chrono::ceil<std::chrono::seconds>(limits_.silence).count());
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, std::max(1, silence_s / 2));
  set(IPPROTO_TCP, TCP_KEEPINTVL, std::max(1, silence_s / 4));
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(limits_.silence.count()));
  room_->await(socket);
  return true;
}

void ConnectionServer::serve(WaitingRoom::Arrival&& arrival) {
  const int socket = arrival.socket;
  bool is_chunked = false;
  // Lines that are too long or end too early are refused by those who read them.
  if (const std::size_t head = head_bytes(arrival.begun); head > 0 && head <= limits_.head_bytes) {
    try {
      is_chunked = read_head(std::string_view(arrival.begun).substr(0, head)).is_chunked;
    } catch (const RequestError& error) {
      send_error(socket, error);
      room_->drain(socket);
      --connections_;
      return;
    }
    shield_headers(arrival.begun, head);
  }
  Connection connection(std::move(arrival), limits_);
  if (is_chunked) connection.expect_chunks();
  current = &connection;
  bool closed = false;
  process_request(connection, /*close_connection=*/true, closed, nullptr);
  if (connection.head_was_too_long()) {
    send_error(socket, RequestError(431, "headers_too_large", "the header lines are too long"));
  }
  const bool drains = connection.drains() && !connection.gone();
  current = nullptr;
  if (drains) {
    room_->drain(socket);
  } else {
    close_socket(socket);
  }
  --connections_;
}

}  // namespace coala
