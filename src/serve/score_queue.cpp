#include "serve/score_queue.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <utility>

#include "core/interrupt.h"
#include "serve/request_error.h"

namespace coala {
namespace {

/// Texts that are scored together: enough for all threads, and few enough that nobody waits long for the last.
constexpr std::size_t kBatch = 32;

Error stopping() {
  return {ErrorCode::Interrupted, "the server is being stopped"};
}

}  // namespace

/// Texts for one head, and whose they are.
struct ScoreQueue::Batch {
  std::shared_ptr<const ServedReward> reward;
  std::vector<std::pair<std::shared_ptr<Order>, std::size_t>> items;
};

ScoreQueue::ScoreQueue(std::size_t most_items, Metrics& metrics)
    : most_items_(most_items), metrics_(metrics), thread_([this] { run(); }) {}

ScoreQueue::~ScoreQueue() {
  stop();
  thread_.join();
}

void ScoreQueue::submit(std::shared_ptr<Order> order) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) throw stopping();
    if (waiting_ + order->items.size() > most_items_) {
      throw RequestError(429, "queue_full", fmt::format("{} texts are waiting already", waiting_), "",
                         "ask again later");
    }
    order->scores.resize(order->items.size());
    if (!scores_ && waiting_ == 0) last_batch_ = std::chrono::steady_clock::now();
    waiting_ += order->items.size();
    if (!order->items.empty()) orders_.push_back(std::move(order));
  }
  work_.notify_one();
}

bool ScoreQueue::wait(Order& order, std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  const auto over = [&] { return order.failed != nullptr || order.done == order.items.size(); };
  news_.wait_for(lock, patience, over);
  if (order.failed) std::rethrow_exception(order.failed);
  return over();
}

void ScoreQueue::cancel(Order& order) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(order.cancelled, true)) return;
  waiting_ -= order.items.size() - order.begun;
  std::erase_if(orders_, [&](const auto& one) { return one.get() == &order; });
}

void ScoreQueue::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  work_.notify_all();
}

ScoreQueue::Load ScoreQueue::load() const {
  const std::lock_guard lock(mutex_);
  if (!scores_ && waiting_ == 0) return {};
  return {waiting_, std::chrono::duration<double>(std::chrono::steady_clock::now() - last_batch_).count()};
}

ScoreQueue::Batch ScoreQueue::take_batch() {
  Batch batch;
  batch.reward = orders_.front()->reward;
  for (std::size_t passed = 0; batch.items.size() < kBatch && passed < orders_.size();) {
    std::shared_ptr<Order> order = std::move(orders_.front());
    orders_.pop_front();
    if (order->reward != batch.reward) {
      orders_.push_back(std::move(order));
      ++passed;
      continue;
    }
    passed = 0;
    batch.items.emplace_back(order, order->begun++);
    --waiting_;
    if (order->begun < order->items.size()) orders_.push_back(std::move(order));
  }
  return batch;
}

void ScoreQueue::fail_all(const std::exception_ptr& why) {
  const std::lock_guard lock(mutex_);
  for (const auto& order : orders_) {
    order->failed = why;
    order->cancelled = true;
  }
  orders_.clear();
  waiting_ = 0;
  news_.notify_all();
}

void ScoreQueue::run() {
  for (;;) {
    Batch batch;
    {
      std::unique_lock lock(mutex_);
      // A signal wakes nobody.
      while (!stopped_ && orders_.empty() && !interrupted()) work_.wait_for(lock, std::chrono::milliseconds(100));
      if (interrupted()) stopped_ = true;
      if (!stopped_) batch = take_batch();
      scores_ = !batch.items.empty();
    }
    if (batch.items.empty()) {
      fail_all(std::make_exception_ptr(stopping()));
      return;
    }
    std::vector<double> scores;
    std::exception_ptr failed;
    try {
      std::vector<const EncodedResponse*> responses;
      for (const auto& [order, item] : batch.items) responses.push_back(&order->items[item]);
      scores = batch.reward->scorer->scores(batch.reward->head, responses);
      metrics_.scored(scores.size());
    } catch (const std::bad_alloc&) {
      failed = std::make_exception_ptr(
          Error(ErrorCode::OutOfMemory, "there is no memory for what is being scored", "ask for less at once"));
    } catch (const Error& error) {
      failed = error.code() == ErrorCode::Interrupted ? std::make_exception_ptr(stopping()) : std::current_exception();
    } catch (...) {
      failed = std::current_exception();
    }
    {
      const std::lock_guard lock(mutex_);
      scores_ = false;
      last_batch_ = std::chrono::steady_clock::now();
      for (std::size_t i = 0; i < batch.items.size(); ++i) {
        const auto& [order, item] = batch.items[i];
        if (failed) {
          order->failed = failed;
          if (!order->cancelled) {
            order->cancelled = true;
            waiting_ -= order->items.size() - order->begun;
            std::erase(orders_, order);
          }
        } else {
          order->scores[item] = scores[i];
          ++order->done;
        }
      }
    }
    news_.notify_all();
  }
}

}  // namespace coala
