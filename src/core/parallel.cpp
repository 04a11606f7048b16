#include "core/parallel.h"

#include <sched.h>

#include <algorithm>

namespace coala {
namespace {

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  const int count = threads > 0 ? threads : usable_cores();
  for (int worker = 1; worker < count; ++worker) workers_.emplace_back([this, worker] { work(worker); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  start_.notify_all();
  for (std::thread& thread : workers_) thread.join();
}

void ThreadPool::for_parts(std::size_t count, std::size_t grain,
                           const std::function<void(int, std::size_t, std::size_t)>& body) {
  {
    const std::lock_guard lock(mutex_);
    count_ = count;
    grain_ = std::max<std::size_t>(1, grain);
    body_ = &body;
    failure_ = nullptr;
    running_ = static_cast<int>(workers_.size());
    ++generation_;
  }
  start_.notify_all();
  run_part(0);
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return running_ == 0; });
  body_ = nullptr;
  if (failure_) std::rethrow_exception(failure_);
}

void ThreadPool::work(int worker) {
  std::size_t seen = 0;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      start_.wait(lock, [&] { return stopping_ || generation_ != seen; });
      if (stopping_) return;
      seen = generation_;
    }
    run_part(worker);
    {
      const std::lock_guard lock(mutex_);
      --running_;
    }
    done_.notify_one();
  }
}

void ThreadPool::run_part(int worker) noexcept {
  const auto parts = static_cast<std::size_t>(size());
  const std::size_t blocks = (count_ + grain_ - 1) / grain_;
  const auto index = static_cast<std::size_t>(worker);
  const std::size_t begin = std::min(count_, blocks * index / parts * grain_);
  const std::size_t end = std::min(count_, blocks * (index + 1) / parts * grain_);
  if (begin >= end) return;
  try {
    (*body_)(worker, begin, end);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
}

}  // namespace coala
