#include "core/messages.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace coala {

void write_message(std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written > 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (written < 0 && errno == EAGAIN) {  // somebody who shares it does not want to wait; we do
      pollfd ready{STDERR_FILENO, POLLOUT, 0};
      if (::poll(&ready, 1, /*timeout_ms=*/1000) <= 0) return;
    } else if (written == 0 || errno != EINTR) {
      return;
    }
  }
}

void open_standard_descriptors() noexcept {
  for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest one that is free, which is this one.
    const int nowhere = ::open("/dev/null", descriptor == STDIN_FILENO ? O_RDONLY : O_WRONLY);
    if (nowhere >= 0 && nowhere != descriptor) ::close(nowhere);
  }
}

namespace {

extern "C" void on_bus_error(int) {
  constexpr std::string_view kWords =
      "coala: input/output error: a file that is being read has become shorter, or cannot be read any more\n"
      "  hint: run the command again, and replace files by renaming others over them\n";
  write_message(kWords);
  ::_exit(1);
}

}  // namespace

void end_on_shrunk_files() noexcept {
  struct sigaction action = {};
  action.sa_handler = on_bus_error;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace coala
