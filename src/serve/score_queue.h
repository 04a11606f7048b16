#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "serve/metrics.h"
#include "serve/served_model.h"

namespace coala {

/// Scores texts on a thread of its own, for connections that wait. Texts of different requests are scored together: a
/// batch takes one of each request in turn, so that a request with a thousand texts does not keep others waiting.
class ScoreQueue {
 public:
  /// Texts of a request, all for one head.
  struct Order {
    std::shared_ptr<const ServedReward> reward;
    std::vector<EncodedResponse> items;
    std::vector<double> scores;  ///< [items], not finite where the model's states are not

   private:
    friend class ScoreQueue;
    std::size_t begun = 0, done = 0;
    bool cancelled = false;
    std::exception_ptr failed;
  };

  /// @param most_items  texts that may wait; more are refused
  ScoreQueue(std::size_t most_items, Metrics& metrics);
  ~ScoreQueue();
  ScoreQueue(const ScoreQueue&) = delete;
  ScoreQueue& operator=(const ScoreQueue&) = delete;

  /// @throws RequestError when too many wait; Error{Interrupted} after stop()
  void submit(std::shared_ptr<Order> order);
  /// Whether the order is done; waits for it for a while.
  /// @throws what made it fail
  bool wait(Order& order, std::chrono::milliseconds patience);
  void cancel(Order& order);
  /// Fails all orders, and those to come.
  void stop();

  /// What there is to do.
  struct Load {
    std::size_t waiting = 0;  ///< texts that nobody has begun
    double last_batch_s = 0;  ///< since the last batch ended, or there was something to do; 0 when there is nothing
  };
  Load load() const;
  std::size_t most_items() const { return most_items_; }

 private:
  struct Batch;
  Batch take_batch();
  void run();
  void fail_all(const std::exception_ptr& why);

  const std::size_t most_items_;
  Metrics& metrics_;
  mutable std::mutex mutex_;  ///< of what follows, and of the orders
  std::condition_variable work_, news_;
  std::deque<std::shared_ptr<Order>> orders_;  ///< that have texts that nobody has begun
  std::size_t waiting_ = 0;
  bool scores_ = false;  ///< a batch, at the moment
  std::chrono::steady_clock::time_point last_batch_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace coala
