#include "core/progress.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <system_error>
#include <utility>

#include "core/work_context.h"

namespace coala {
namespace {

constexpr double kTold_s = 0.1;  ///< between two calls of a sink
constexpr std::chrono::milliseconds kShortest{1};
constexpr std::chrono::milliseconds kBeat{250};

std::atomic<NewsSink*> g_sink{nullptr};
std::atomic<bool> g_quiet{false};
std::atomic<std::uint64_t> g_stages{0};
std::mutex g_telling;
thread_local std::string t_part;

/// Who takes the news of this thread's work; null: nobody.
NewsSink* sink_for_news() {
  if (NewsSink* const own = work_context().sink; own != nullptr) return own;
  return g_quiet ? nullptr : g_sink.load();
}

}  // namespace

void install_news_sink(NewsSink* sink) {
  g_sink = sink;
}

void log_line(const std::string& text) {
  NewsSink* const sink = sink_for_news();
  if (sink == nullptr) return;
  const std::lock_guard lock(g_telling);
  sink->line(text);
}

void log_warning(const std::string& text) {
  NewsSink* const own = work_context().sink;
  NewsSink* const sink = own != nullptr ? own : g_sink.load();
  if (sink == nullptr) return;
  const std::lock_guard lock(g_telling);
  sink->warning(text);
}

void set_quiet(bool quiet) {
  g_quiet = quiet;
}

Progress::Progress(std::string stage, std::uint64_t total, std::string unit, std::uint64_t done)
    : sink_(sink_for_news()), rate_(monotonic_s()) {
  state_.id = ++g_stages;
  state_.stage = t_part + std::move(stage);
  state_.unit = std::move(unit);
  state_.done = done;
  state_.total = total;
  if (sink_ == nullptr) return;
  try {
    heart_ = std::thread([this] { beat(); });
  } catch (const std::system_error&) {
    // No memory for a thread: then there is news when something advances.
  }
}

Progress::~Progress() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  end_.notify_all();
  if (heart_.joinable()) heart_.join();
  const std::lock_guard lock(mutex_);
  tell(true);
}

void Progress::advance(std::uint64_t count) {
  const std::lock_guard lock(mutex_);
  state_.done += count;
  const double now_s = monotonic_s();
  rate_.add(now_s, static_cast<double>(count));
  if (now_s - told_s_ >= kTold_s) tell(false);
}

void Progress::skip(std::uint64_t count) {
  const std::lock_guard lock(mutex_);
  state_.done += count;
}

void Progress::set_total(std::uint64_t total) {
  const std::lock_guard lock(mutex_);
  state_.total = total;
}

void Progress::may_end_early() {
  const std::lock_guard lock(mutex_);
  state_.at_most = true;
}

void Progress::beat() {
  std::unique_lock lock(mutex_);
  while (!over_) {
    // Without a predicate: by a clock that is set back, as some virtual machines do, the time would never be over.
    end_.wait_for(lock, kBeat);
    if (over_) return;
    tell(false);
    lock.unlock();  // such a wait ends at once, and whoever advances wants the mutex
    std::this_thread::sleep_for(kShortest);
    lock.lock();
  }
}

void Progress::tell(bool ended) {
  if (sink_ == nullptr) return;
  const double now_s = monotonic_s();
  told_s_ = now_s;
  const double left = state_.total > state_.done ? static_cast<double>(state_.total - state_.done) : 0;
  state_.elapsed_s = std::max(0.0, now_s - start_s_);
  state_.per_second = rate_.per_second(now_s);
  state_.left_s = rate_.seconds_left(now_s, left);
  state_.ended = ended;
  const std::lock_guard lock(g_telling);
  sink_->progress(state_);
}

ProgressPart::ProgressPart(const std::string& name) : before_(t_part) {
  t_part += name + ": ";
}

ProgressPart::~ProgressPart() {
  t_part = before_;
}

}  // namespace coala
