#include "core/resources.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>

namespace coala {

std::uint64_t peak_rss_bytes() noexcept {
  rusage usage = {};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;  // Linux counts kibibytes
}

double monotonic_s() noexcept {
  // The clocks of some virtual machines do go back.
  static std::atomic<double> latest{0};
  const double now = std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  double seen = latest.load();
  while (seen < now && !latest.compare_exchange_weak(seen, now)) {
  }
  return std::max(seen, now);
}

}  // namespace coala
