#pragma once

#include <atomic>
#include <memory>

#include "coala/api.h"
#include "coala/progress.h"

namespace coala::v1 {

/// Ends work from outside: copies share one switch.
class COALA_API Cancellation {
 public:
  Cancellation() : flag_(std::make_shared<std::atomic<bool>>(false)) {}

  /// Any thread, and signal handlers. The work ends between two of its steps, with Error{Interrupted}.
  void cancel() const noexcept { *flag_ = true; }
  bool cancelled() const noexcept { return *flag_; }
  const std::atomic<bool>& flag() const noexcept { return *flag_; }

 private:
  std::shared_ptr<std::atomic<bool>> flag_;
};

/// What a call works with. Nothing of it is kept for the next call, unless a class says so, and calls in different
/// threads have nothing to do with each other.
struct Context {
  int threads = 0;           ///< the caller included; 0: all cores this process may use
  NewsSink* news = nullptr;  ///< takes news and progress while the call runs; null: silent
  Cancellation cancellation = {};
};

}  // namespace coala::v1
