#include "serve/scheduler.h"

#include <fmt/format.h>

#include <memory>
#include <new>
#include <utility>

#include "core/interrupt.h"
#include "serve/request_error.h"

namespace coala {

Scheduler::Scheduler(const Backbone& backbone, const EngineOptions& options, std::size_t most_waiting)
    : engine_(backbone, options), most_waiting_(most_waiting), thread_([this] { run(); }) {}

Scheduler::~Scheduler() {
  stop();
  thread_.join();
}

void Scheduler::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  wake_.notify_all();
}

Scheduler::Ticket Scheduler::submit(Request request) {
  request.settings.validate();
  Ticket ticket = 0;
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) throw Error(ErrorCode::Interrupted, "the server is being stopped");
    if (load_.waiting + ordered_ >= most_waiting_) {
      throw RequestError(429, "queue_full", fmt::format("{} requests are waiting already", load_.waiting + ordered_),
                         "", "ask again later");
    }
    ticket = ++last_ticket_;
    ++ordered_;
    const auto shared = std::make_shared<Request>(std::move(request));
    orders_.push_back([this, ticket, shared] { begin(ticket, std::move(*shared)); });
    if (!busy_) last_step_ = std::chrono::steady_clock::now();
    busy_ = true;
  }
  wake_.notify_all();
  return ticket;
}

void Scheduler::cancel(Ticket ticket) {
  {
    const std::lock_guard lock(mutex_);
    orders_.push_back([this, ticket] {
      const auto found = begun_.find(ticket);
      if (found == begun_.end()) return;
      engine_.cancel(found->second.ticket);
      begun_.erase(found);
    });
  }
  wake_.notify_all();
}

Scheduler::Load Scheduler::load() const {
  const std::lock_guard lock(mutex_);
  Load load = load_;
  load.waiting += ordered_;
  if (busy_) {
    load.last_step_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - last_step_).count();
  }
  return load;
}

void Scheduler::begin(Ticket ticket, Request&& request) {
  auto on_failure = request.on_failure;
  Begun& begun = begun_[ticket];
  begun.on_failure = std::move(on_failure);
  request.on_done = [this, ticket, done = std::move(request.on_done)](std::vector<Reply>&& replies) {
    done(std::move(replies));
    begun_.erase(ticket);  // not before: whoever could not be given the replies is told of the failure
  };
  request.on_failure = [this, ticket, failed = std::move(request.on_failure)](const Error& error) {
    begun_.erase(ticket);
    failed(error);
  };
  begun.ticket = engine_.submit(std::move(request));
}

void Scheduler::fail_all(const Error& error) {
  engine_.clear();
  const auto begun = std::exchange(begun_, {});
  for (const auto& [ticket, one] : begun) one.on_failure(error);
}

void Scheduler::guarded(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    fail_all(error);
  } catch (const std::bad_alloc&) {
    fail_all(Error(ErrorCode::OutOfMemory, "there is no memory for what is being written", "ask for less at once"));
  } catch (const std::exception& error) {
    fail_all(Error(ErrorCode::Internal, error.what()));
  }
}

void Scheduler::run() {
  for (;;) {
    std::vector<std::function<void()>> orders;
    bool stopped = false;
    {
      std::unique_lock lock(mutex_);
      // Without a notification too: by a clock that is set back a wait ends at once, and a signal wakes nobody.
      wake_.wait_for(lock, std::chrono::milliseconds(100),
                     [this] { return stopped_ || busy_ || !orders_.empty() || interrupted(); });
      if (interrupted()) stopped_ = true;
      stopped = stopped_;
      std::swap(orders, orders_);
      load_.waiting = engine_.waiting() + ordered_;  // until they are counted
      ordered_ = 0;
    }
    bool busy = false;
    for (const std::function<void()>& order : orders) guarded(order);
    if (!stopped) guarded([&] { busy = engine_.step(); });
    if (stopped) {
      fail_all(Error(ErrorCode::Interrupted, "the server is being stopped"));
      return;
    }
    const std::lock_guard lock(mutex_);
    busy_ = busy || !orders_.empty();
    load_.waiting = engine_.waiting();
    load_.writing = engine_.writing();
    load_.cells = engine_.held_cells();
    load_.steps += busy ? 1 : 0;
    last_step_ = std::chrono::steady_clock::now();
  }
}

}  // namespace coala
