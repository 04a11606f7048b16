#include "core/free_cores.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "core/parallel.h"

namespace coala {
namespace {

double number_in(const std::filesystem::path& file) {
  std::ifstream in(file);
  double value = 0;
  return in >> value ? value : 0;
}

/// The share of the last moments that the calling thread had a core, asking for all of it.
double share_of_a_core() {
  constexpr std::chrono::milliseconds kLook{20};
  const auto spent = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double before = spent();
  const auto begun = std::chrono::steady_clock::now();
  auto elapsed = std::chrono::steady_clock::duration::zero();
  while (elapsed >= elapsed.zero() && elapsed < kLook) elapsed = std::chrono::steady_clock::now() - begun;
  if (elapsed < kLook) return 1;  // the clock runs backwards
  return (spent() - before) / std::chrono::duration<double>(elapsed).count();
}

}  // namespace

double quota_of_group(const std::filesystem::path& folder) {
  std::ifstream in(folder / "cpu.max");
  double quota = 0;
  double period = 0;
  if (in >> quota >> period) return period > 0 ? quota / period : 0;  // "max" is no number
  quota = number_in(folder / "cpu.cfs_quota_us");
  period = number_in(folder / "cpu.cfs_period_us");
  return quota > 0 && period > 0 ? quota / period : 0;
}

int free_cores() {
  const int usable = usable_cores();
  if (usable == 1) return 1;
  std::vector<double> shares(static_cast<std::size_t>(usable), 0.0);
  std::vector<std::thread> threads;
  try {
    for (std::size_t i = 1; i < shares.size(); ++i) {
      threads.emplace_back([&shares, i] { shares[i] = share_of_a_core(); });
    }
  } catch (const std::system_error&) {  // fewer threads than cores may be started: then fewer are used
  }
  shares[0] = share_of_a_core();
  for (std::thread& thread : threads) thread.join();
  double sum = 0;
  for (const double share : shares) sum += share;
  return std::clamp(static_cast<int>(std::lround(sum)), 1, usable);
}

}  // namespace coala
