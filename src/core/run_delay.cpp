#include "core/run_delay.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace coala {

std::chrono::nanoseconds run_delay(pid_t thread) {
  char text[96];
  std::snprintf(text, sizeof text, "/proc/self/task/%d/schedstat", static_cast<int>(thread));
  const int file = ::open(text, O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  const ssize_t read = ::read(file, text, sizeof text - 1);
  ::close(file);
  if (read <= 0) return {};
  text[read] = '\0';
  // Nanoseconds on a core, nanoseconds of waiting for one, and how often it had one.
  char* end = text;
  std::strtoll(text, &end, 10);
  return std::chrono::nanoseconds(std::strtoll(end, nullptr, 10));
}

}  // namespace coala
