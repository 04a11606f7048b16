#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "core/work_context.h"

namespace coala {

/// Cores that this process may use: its affinity, and the quota of its container.
int usable_cores() noexcept;

/// A fixed set of threads for loops over row blocks. One loop at a time; not for nested use. The loops of the solver
/// last about a millisecond and follow each other closely, so threads spin for some microseconds before they sleep.
///
/// Nobody waits for a thread that has not come: a loop is cut into pieces, and whoever is awake takes the next one. So
/// a thread that is still waking up, or has lost its core to another program, holds the others up by one piece at most.
/// Where another program keeps wanting a core, that adds up to more than a thread is worth: then one of them rests for
/// a while, and longer each time that it is no better afterwards.
class ThreadPool {
 public:
  using Body = std::function<void(int index, std::size_t begin, std::size_t end)>;

  /// @param threads  how many work, the caller included; 0 means all cores this process may use
  /// @throws Error{OutOfMemory} when they cannot be started
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(threads_.size()) + 1; }

  /// Calls body(part, begin, end) on contiguous parts of [0, count), as many as there are threads, sized alike and cut
  /// at multiples of `grain`, and waits. The parts depend on the number of threads only, so sums by part repeat bit for
  /// bit; which thread runs a part is anybody's guess. The first exception is rethrown here.
  void for_parts(std::size_t count, std::size_t grain, const Body& body);

  /// The same in several pieces per thread, which balances threads of unequal speed; for loops whose pieces do not
  /// depend on how [0, count) is cut. body(thread, begin, end) gets the number of the thread that runs it, for its
  /// scratch memory.
  void for_chunks(std::size_t count, std::size_t grain, const Body& body);

 private:
  enum class Index { Part, Thread };
  using Clock = std::chrono::steady_clock;

  struct Worker {
    std::atomic<pid_t> id{0};
    std::atomic<Clock::rep> rests_until{0};  ///< by the clock; 0: it does not rest
  };
  static constexpr std::chrono::milliseconds kShortestRest{50};
  static constexpr std::chrono::milliseconds kLongestRest{2000};

  void loop(std::size_t pieces, std::size_t count, std::size_t grain, Index index, const Body& body);
  void stop();
  void work(int worker);
  void take_pieces(int worker) noexcept;
  void run_piece(std::size_t piece, int worker) noexcept;
  bool rested(Worker& worker);
  void look_for_neighbours();

  std::vector<std::thread> threads_;
  std::vector<Worker> workers_;  ///< of threads_
  std::mutex mutex_;
  std::condition_variable start_;
  std::condition_variable done_;
  std::condition_variable stop_;            ///< for those who rest
  std::atomic<std::size_t> generation_{0};  ///< counts loops; written under the mutex, read by spinning workers
  std::atomic<std::int64_t> untaken_{0};    ///< pieces of the current loop; below zero when threads came in vain
  std::atomic<std::size_t> running_{0};     ///< pieces of the current loop that are not finished
  std::atomic<bool> stopping_{false};
  std::size_t pieces_ = 0;
  std::size_t count_ = 0;
  std::size_t grain_ = 1;
  Index index_ = Index::Part;
  const Body* body_ = nullptr;
  WorkContext context_;  ///< the caller's
  std::exception_ptr failure_;
  // Of the caller alone.
  Clock::time_point looked_;                        ///< for neighbours, the last time
  std::chrono::nanoseconds delay_{0};               ///< of all threads, until then
  Clock::time_point last_rest_;                     ///< when the last one began
  std::chrono::milliseconds rest_ = kShortestRest;  ///< the next one
};

}  // namespace coala
