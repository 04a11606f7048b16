#pragma once

#include <atomic>

#include "coala/progress.h"

namespace coala {

/// What the work of a thread is done for: who takes its news, and what ends it. Threads of a pool work for whom its
/// caller does.
struct WorkContext {
  NewsSink* sink = nullptr;                 ///< null: the process's, see install_news_sink()
  const std::atomic<bool>* stop = nullptr;  ///< ends the work when it is true, as a signal does; null: nothing else
};

/// That of this thread.
const WorkContext& work_context() noexcept;

/// Makes a context this thread's for as long as it lives.
class WorkScope {
 public:
  explicit WorkScope(const WorkContext& context) noexcept;
  ~WorkScope();
  WorkScope(const WorkScope&) = delete;
  WorkScope& operator=(const WorkScope&) = delete;

 private:
  WorkContext before_;
};

}  // namespace coala
