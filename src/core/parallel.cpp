#include "core/parallel.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <system_error>

#include "core/error.h"
#include "core/free_cores.h"
#include "core/run_delay.h"

namespace coala {

int usable_cores() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                                : static_cast<int>(std::thread::hardware_concurrency());
  // A container may see all cores of the machine and get the time of a few; more threads than that would be stopped
  // together for the rest of every period.
  static const double quota = std::max(quota_of_group("/sys/fs/cgroup"), quota_of_group("/sys/fs/cgroup/cpu"));
  return std::max(1, quota > 0 ? std::min(cores, static_cast<int>(std::ceil(quota))) : cores);
}

namespace {

/// Waits for a condition without sleeping, as long as what a caller does alone between two loops usually takes: to be
/// woken takes as long. By the clock, because the pause instruction takes 40 to 140 cycles, depending on the CPU.
template <class Condition>
bool spin_until(const Condition& condition) {
  constexpr std::chrono::microseconds kLongest{200};
  constexpr int kPauses = 64;  // between two looks at the clock
  const auto begun = std::chrono::steady_clock::now();
  do {
    for (int k = 0; k < kPauses; ++k) {
      if (condition()) return true;
#ifdef __x86_64__
      __builtin_ia32_pause();
#endif
    }
  } while (std::chrono::steady_clock::now() - begun < kLongest);
  return condition();
}

}  // namespace

ThreadPool::ThreadPool(int threads) : workers_(static_cast<std::size_t>((threads > 0 ? threads : usable_cores()) - 1)) {
  const int count = static_cast<int>(workers_.size()) + 1;
  try {
    for (int worker = 1; worker < count; ++worker) threads_.emplace_back([this, worker] { work(worker); });
  } catch (const std::system_error& error) {
    stop();
    throw Error(ErrorCode::OutOfMemory,
                fmt::format("cannot start thread {} of {}: {}", size() + 1, count, error.what()),
                "use fewer --threads, or raise the limits of the process (ulimit -a)");
  }
}

ThreadPool::~ThreadPool() {
  stop();
}

void ThreadPool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  start_.notify_all();
  stop_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::for_parts(std::size_t count, std::size_t grain, const Body& body) {
  loop(static_cast<std::size_t>(size()), count, grain, Index::Part, body);
}

void ThreadPool::for_chunks(std::size_t count, std::size_t grain, const Body& body) {
  constexpr std::size_t kPerThread = 16;
  const std::size_t blocks = (count + std::max<std::size_t>(1, grain) - 1) / std::max<std::size_t>(1, grain);
  loop(std::min(blocks, kPerThread * static_cast<std::size_t>(size())), count, grain, Index::Thread, body);
}

void ThreadPool::loop(std::size_t pieces, std::size_t count, std::size_t grain, Index index, const Body& body) {
  if (threads_.empty() || count <= grain) {  // nothing to share out: waking the others would cost more than the work
    if (count > 0) body(0, 0, count);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    pieces_ = pieces;
    count_ = count;
    grain_ = std::max<std::size_t>(1, grain);
    index_ = index;
    body_ = &body;
    context_ = work_context();
    failure_ = nullptr;
    running_.store(pieces, std::memory_order_relaxed);
    untaken_.store(static_cast<std::int64_t>(pieces), std::memory_order_release);
    generation_.fetch_add(1, std::memory_order_release);
  }
  start_.notify_all();
  take_pieces(0);
  const auto finished = [this] { return running_.load(std::memory_order_acquire) == 0; };
  if (!spin_until(finished)) {
    std::unique_lock lock(mutex_);
    done_.wait(lock, finished);
  }
  body_ = nullptr;
  look_for_neighbours();
  if (failure_) std::rethrow_exception(failure_);
}

/// The threads need each other's pieces, so what one of them waits for a core, all of them may wait. A program that
/// wants a core all of the time makes that at least half of the time, however many cores there are.
void ThreadPool::look_for_neighbours() {
  constexpr std::chrono::milliseconds kLook{25};
  const Clock::time_point now = Clock::now();
  if (now - looked_ < kLook) return;
  std::chrono::nanoseconds delay = run_delay(::gettid());
  Worker* last = nullptr;
  int working = 1;
  for (Worker& worker : workers_) {
    delay += run_delay(worker.id);
    if (worker.rests_until.load(std::memory_order_relaxed) != 0) continue;
    last = &worker;
    ++working;
  }
  const double lost = std::chrono::duration<double>(delay - delay_) / (now - looked_);
  delay_ = delay;
  looked_ = now;
  if (last != nullptr && lost > std::max(0.2, 0.75 / working)) {
    last->rests_until.store((now + rest_).time_since_epoch().count(), std::memory_order_relaxed);
    last_rest_ = now;
    rest_ = std::min(2 * rest_, kLongestRest);
  } else if (now - last_rest_ > 2 * rest_) {  // it went well for as long as the next rest would be
    rest_ = kShortestRest;
  }
}

/// Waits while the thread is to rest. @returns  whether it did
bool ThreadPool::rested(Worker& worker) {
  const Clock::rep until = worker.rests_until.load(std::memory_order_relaxed);
  if (until == 0) return false;
  std::unique_lock lock(mutex_);
  stop_.wait_until(lock, Clock::time_point(Clock::duration(until)), [this] { return stopping_.load(); });
  worker.rests_until.store(0, std::memory_order_relaxed);
  return true;
}

void ThreadPool::work(int worker) {
  Worker& self = workers_[static_cast<std::size_t>(worker - 1)];
  self.id = ::gettid();
  std::size_t seen = 0;
  for (;;) {
    const auto called = [&] { return stopping_ || generation_.load(std::memory_order_acquire) != seen; };
    if (!spin_until(called)) {
      std::unique_lock lock(mutex_);
      start_.wait(lock, called);
    }
    if (stopping_) return;
    seen = generation_.load(std::memory_order_acquire);
    if (!rested(self)) take_pieces(worker);
  }
}

/// A thread that comes late finds no piece, or one of the next loop, whose fields were written before its pieces became
/// untaken: it may run that one as well as any other.
void ThreadPool::take_pieces(int worker) noexcept {
  for (;;) {
    const std::int64_t left = untaken_.fetch_sub(1, std::memory_order_acq_rel);
    if (left <= 0) return;
    run_piece(pieces_ - static_cast<std::size_t>(left), worker);
  }
}

void ThreadPool::run_piece(std::size_t piece, int worker) noexcept {
  const std::size_t blocks = (count_ + grain_ - 1) / grain_;
  const std::size_t begin = std::min(count_, blocks * piece / pieces_ * grain_);
  const std::size_t end = std::min(count_, blocks * (piece + 1) / pieces_ * grain_);
  const WorkScope scope(context_);
  try {
    if (begin < end) (*body_)(index_ == Index::Part ? static_cast<int>(piece) : worker, begin, end);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
  if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    // Under the mutex: the caller may be between its look at the counter and its sleep.
    const std::lock_guard lock(mutex_);
    done_.notify_one();
  }
}

}  // namespace coala
