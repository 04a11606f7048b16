#include "core/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>

namespace coala {
namespace {

std::atomic<bool> g_quiet{false};

std::string duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  if (whole >= 3600) return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
  if (whole >= 60) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}s", whole);
}

}  // namespace

void log_line(const std::string& text) {
  if (!g_quiet) fmt::print(stderr, "coala: {}\n", text);
}

void log_warning(const std::string& text) {
  fmt::print(stderr, "coala: warning: {}\n", text);
}

void set_quiet(bool quiet) {
  g_quiet = quiet;
}

Progress::Progress(std::string stage, std::uint64_t total, std::string unit, std::uint64_t done)
    : stage_(std::move(stage)),
      unit_(std::move(unit)),
      total_(total),
      first_(done),
      done_(done),
      terminal_(::isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
  show(true);
}

double Progress::seconds() const {
  return monotonic_s() - start_s_;
}

void Progress::advance(std::uint64_t count) {
  done_ += count;
  const double interval_s = terminal_ ? 0.1 : 10;
  if (monotonic_s() - shown_s_ >= interval_s) show(false);
}

void Progress::set(std::uint64_t done, std::uint64_t total) {
  total_ = total;
  advance(done - done_);
}

void Progress::show(bool last) {
  if (g_quiet) return;
  shown_s_ = monotonic_s();
  const double elapsed = seconds();
  const double rate = elapsed > 0 ? static_cast<double>(done_ - first_) / elapsed : 0;
  const double share = total_ > 0 ? std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_)) : 1;
  std::string line =
      fmt::format("{}: {}/{} {} ({:.0f} %), {:.0f} {}/s", stage_, done_, total_, unit_, 100 * share, rate, unit_);
  if (last) {
    line += fmt::format(", {} in all", duration(elapsed));
  } else if (rate > 0 && total_ > done_) {
    line += fmt::format(", {} left", duration(static_cast<double>(total_ - done_) / rate));
  }
  if (terminal_) {
    constexpr int kWidth = 24;
    const int filled = static_cast<int>(share * kWidth);
    fmt::print(stderr, "\r\033[Kcoala: [{:=<{}}{:{}}] {}{}", "", filled, "", kWidth - filled, line, last ? "\n" : "");
    std::fflush(stderr);
  } else {
    fmt::print(stderr, "coala: {}\n", line);
  }
}

}  // namespace coala
