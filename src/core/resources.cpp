#include "core/resources.h"

#include <sys/resource.h>

#include <chrono>

namespace coala {

std::uint64_t peak_rss_bytes() noexcept {
  rusage usage = {};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;  // Linux counts kibibytes
}

double monotonic_s() noexcept {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace coala
