#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace coala {

/// Cores that this process may use.
int usable_cores() noexcept;

/// A fixed set of threads for loops over row blocks. One loop at a time; not for nested use. The loops of the solver
/// last about a millisecond and follow each other closely, so threads spin for some microseconds before they sleep.
class ThreadPool {
 public:
  /// @param threads  how many work, the caller included; 0 means all cores this process may use
  /// @throws Error{OutOfMemory} when they cannot be started
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls body(part, begin, end) on contiguous parts of [0, count), as many as there are threads, sized alike and cut
  /// at multiples of `grain`, and waits. A part is for the thread of its number; the caller takes over those that have
  /// not been begun when it is done with its own, since a thread may still be waking up, or have no core. The parts
  /// depend on the number of threads only, so sums repeat bit for bit. The first exception is rethrown here.
  void for_parts(std::size_t count, std::size_t grain,
                 const std::function<void(int part, std::size_t begin, std::size_t end)>& body);

 private:
  void stop();
  void work(int worker);
  bool take_part(int part, std::size_t generation) noexcept;
  void run_part(int part) noexcept;

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable start_;
  std::condition_variable done_;
  std::atomic<std::size_t> generation_{0};       ///< counts loops; written under the mutex, read by spinning workers
  std::atomic<int> running_{0};                  ///< parts of the current loop that are not finished
  std::vector<std::atomic<std::size_t>> taken_;  ///< by part: the last loop in which somebody began it
  std::atomic<bool> stopping_{false};
  std::size_t count_ = 0;
  std::size_t grain_ = 1;
  const std::function<void(int, std::size_t, std::size_t)>* body_ = nullptr;
  std::exception_ptr failure_;
};

}  // namespace coala
