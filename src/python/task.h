#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "coala/context.h"

namespace coala::python {

/// What work says while it goes on.
struct TaskEvent {
  enum class Kind { Line, Warning, Progress, Text };
  Kind kind = Kind::Line;
  std::string text = {};
  ProgressState progress = {};
};

/// Work on a thread of its own, so that the thread that waits for it, without the lock of the interpreter, can run what
/// Python wants to run meanwhile: handlers of signals, and whoever takes the news. None of that happens on the threads
/// of the work.
class Task final : public NewsSink {
 public:
  using Work = std::function<void(const v1::Context&, Task& own)>;

  Task(int threads, Work work);
  /// Ends the work, if it has not ended. With the lock, as the next.
  ~Task() override;
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  /// The next event; nothing when the work has ended.
  /// @throws what the work has thrown, and what handlers of signals raise (KeyboardInterrupt)
  std::optional<TaskEvent> next();
  /// Has the work end soon; next() throws then.
  void cancel() const { context_.cancellation.cancel(); }
  /// By the work: a piece of text.
  void add_text(std::string_view text);

  void line(const std::string& text) override;
  void warning(const std::string& text) override;
  void progress(const ProgressState& state) override;

 private:
  void add(TaskEvent event);
  std::optional<TaskEvent> wait();

  v1::Context context_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<TaskEvent> events_;
  bool ended_ = false;
  std::exception_ptr failure_;
  std::thread thread_;  ///< the last: it uses the others
};

}  // namespace coala::python
