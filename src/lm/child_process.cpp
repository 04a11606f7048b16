#include "lm/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <new>

#include "core/error.h"
#include "core/interrupt.h"

namespace coala {
namespace {

constexpr std::size_t kLargestMessage = std::size_t{1} << 26;

/// Memory that this process can write to, as RLIMIT_DATA counts it (since Linux 4.7). Not its address space: what is
/// reserved there for a thread's heap could be used beyond any limit.
rlim_t data_bytes() {
  long pages = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  if (std::fscanf(file, "%*d %*d %*d %*d %*d %ld", &pages) != 1) pages = 0;
  std::fclose(file);
  return static_cast<rlim_t>(pages) * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE));
}

/// False at the end of the stream.
bool read_all(int from, void* to, std::size_t bytes) {
  char* at = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t got = ::read(from, at, bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    bytes -= static_cast<std::size_t>(got);
  }
  return true;
}

bool write_all(int to, const void* from, std::size_t bytes) {
  const char* at = static_cast<const char*>(from);
  while (bytes > 0) {
    const ssize_t written = ::write(to, at, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    at += written;
    bytes -= static_cast<std::size_t>(written);
  }
  return true;
}

bool write_message_to(int to, std::string_view message) {
  const std::uint64_t size = message.size();
  return write_all(to, &size, sizeof size) && write_all(to, message.data(), message.size());
}

/// CPU time that a process has had.
std::chrono::nanoseconds computing_time(pid_t process) {
  clockid_t clock{};
  timespec time{};
  if (::clock_getcpuclockid(process, &clock) != 0 || ::clock_gettime(clock, &time) != 0) return {};
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

/// This thread does not get SIGPIPE while it lives, whatever the program that coala is a part of does with it.
class WithoutSigpipe {
 public:
  WithoutSigpipe() {
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~WithoutSigpipe() {
    const timespec at_once{};
    if (!was_pending_) ::sigtimedwait(&pipe_, nullptr, &at_once);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  WithoutSigpipe(const WithoutSigpipe&) = delete;
  WithoutSigpipe& operator=(const WithoutSigpipe&) = delete;

 private:
  sigset_t pipe_, before_;
  bool was_pending_ = false;
};

/// In a child that had so much.
rlim_t limit_of(rlim_t present_bytes, std::size_t memory_bytes) {
#ifdef __SANITIZE_ADDRESS__
  memory_bytes *= 8;  // it keeps what is freed for a while
#endif
  return present_bytes + memory_bytes;
}

/// What the child is before it does anything.
void become_child(int keep_in, int keep_out, rlim_t present_bytes, std::size_t memory_bytes) {
  for (const int number : {SIGSEGV, SIGABRT, SIGBUS, SIGALRM, SIGINT, SIGTERM, SIGHUP}) std::signal(number, SIG_DFL);
  const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(nowhere, standard);
  // Locks on our files would outlive us in the child, and pipes would stay open.
  for (int descriptor = 3; descriptor < static_cast<int>(::sysconf(_SC_OPEN_MAX)) && descriptor < 4096; ++descriptor) {
    if (descriptor != keep_in && descriptor != keep_out) ::close(descriptor);
  }
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  if (present_bytes > 0) {
    const rlimit memory{limit_of(present_bytes, memory_bytes), limit_of(present_bytes, memory_bytes)};
    ::setrlimit(RLIMIT_DATA, &memory);
  }
  // Not std::bad_alloc: the action may swallow exceptions, and would then go on as if nothing had been.
  std::set_new_handler([] { ::_exit(1); });
}

}  // namespace

bool ChildProcess::Port::receive(std::string& message) const {
  std::uint64_t size = 0;
  if (!read_all(in_, &size, sizeof size) || size > kLargestMessage) return false;
  message.resize(size);
  return read_all(in_, message.data(), size);
}

void ChildProcess::Port::send(std::string_view message) const {
  if (!write_message_to(out_, message)) ::_exit(1);
}

void ChildProcess::Port::allow([[maybe_unused]] std::size_t memory_bytes) const {
#ifndef __SANITIZE_ADDRESS__  // which keeps what is freed: narrow limits are for what is in use
  rlimit memory{};
  if (present_bytes_ == 0 || ::getrlimit(RLIMIT_DATA, &memory) != 0) return;
  memory.rlim_cur = std::min(limit_of(present_bytes_, memory_bytes), memory.rlim_max);
  ::setrlimit(RLIMIT_DATA, &memory);
#endif
}

ChildProcess::ChildProcess(std::size_t memory_bytes, const std::function<void(const Port&)>& action) {
  std::array<int, 2> down{};
  std::array<int, 2> up{};
  const auto fail = [](const char* what) {
    throw Error(ErrorCode::Io, fmt::format("cannot {}: {}", what, std::strerror(errno)),
                "close other programs, or raise the limits of `ulimit`");
  };
  if (::pipe2(down.data(), O_CLOEXEC) != 0) fail("make a pipe");
  if (::pipe2(up.data(), O_CLOEXEC) != 0) {
    for (const int descriptor : down) ::close(descriptor);
    fail("make a pipe");
  }
  const rlim_t present_bytes = data_bytes();
  child_ = ::fork();
  if (child_ == 0) {
    become_child(down[0], up[1], present_bytes, memory_bytes);
    try {
      action(Port(down[0], up[1], present_bytes));
    } catch (...) {
      ::_exit(0);
    }
    ::_exit(0);
  }
  ::close(down[0]);
  ::close(up[1]);
  to_child_ = down[1];
  from_child_ = up[0];
  if (child_ < 0) {
    ::close(to_child_);
    ::close(from_child_);
    fail("start a process");
  }
}

ChildProcess::~ChildProcess() {
  ::close(to_child_);
  ::close(from_child_);
  ::kill(child_, SIGKILL);  // it may be anywhere
  int status = 0;
  while (::waitpid(child_, &status, 0) < 0 && errno == EINTR) {
  }
}

void ChildProcess::send(std::string_view message) const {
  const WithoutSigpipe quiet;
  write_message_to(to_child_, message);  // a child that is gone is noticed when it does not answer
}

ChildProcess::Received ChildProcess::receive(std::string& message, const Patience& patience) const {
  constexpr std::chrono::milliseconds kLook{100};
  const Clock::time_point late = Clock::now() + patience.in_all;
  const auto computed_before = computing_time(child_);
  auto computed = computed_before;
  Clock::time_point computed_at = Clock::now();
  std::string all;  // the size of the message, then the message
  for (;;) {
    std::uint64_t size = 0;
    if (all.size() >= sizeof size) {
      std::memcpy(&size, all.data(), sizeof size);
      if (size > kLargestMessage) return Received::Ended;
      if (all.size() == sizeof size + size) {
        message = all.substr(sizeof size);
        return Received::Message;
      }
    }
    throw_if_interrupted();
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(late - Clock::now());
    if (left.count() <= 0) return Received::TooLate;
    const auto computed_now = computing_time(child_);
    if (computed_now - computed_before > patience.computing) return Received::TooLate;
    if (computed_now > computed) computed_at = Clock::now();
    if (Clock::now() - computed_at > patience.stall) return Received::Stalled;
    computed = computed_now;
    pollfd ready{from_child_, POLLIN, 0};
    const int found = ::poll(&ready, 1, static_cast<int>(std::min(left, kLook).count()));
    if (found <= 0) continue;
    std::array<char, 1 << 16> block{};
    const std::size_t wanted = all.size() < sizeof size ? sizeof size - all.size() : sizeof size + size - all.size();
    const ssize_t got = ::read(from_child_, block.data(), std::min(wanted, block.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Received::Ended;
    all.append(block.data(), static_cast<std::size_t>(got));
  }
}

std::string ChildProcess::end() const {
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(child_), &info, WEXITED | WNOWAIT) < 0) {
    if (errno != EINTR) return "";
  }
  if (info.si_code != CLD_EXITED) return fmt::format("signal {}", info.si_status);
  return info.si_status == 0 ? "" : fmt::format("status {}", info.si_status);
}

ChildProcess::Received answer_of_child(const std::function<ChildProcess::Received()>& ask) {
  constexpr int kChildren = 3;
  auto received = ChildProcess::Received::Stalled;
  for (int i = 0; i < kChildren && received == ChildProcess::Received::Stalled; ++i) received = ask();
  return received;
}

MessageWriter& MessageWriter::add(std::string_view text) {
  const std::uint64_t size = text.size();
  message_.append(reinterpret_cast<const char*>(&size), sizeof size);
  message_ += text;
  return *this;
}

std::string MessageReader::text() {
  std::uint64_t size = 0;
  if (rest_.size() < sizeof size) return "";
  std::memcpy(&size, rest_.data(), sizeof size);
  rest_.remove_prefix(sizeof size);
  const std::string result(rest_.substr(0, size));
  rest_.remove_prefix(std::min<std::size_t>(size, rest_.size()));
  return result;
}

}  // namespace coala
