#include "python/task.h"

#include <pybind11/pybind11.h>

#include <chrono>
#include <utility>

namespace coala::python {
namespace {

namespace py = pybind11;

/// Between two looks for signals.
constexpr std::chrono::milliseconds kSignals{50};

}  // namespace

Task::Task(int threads, Work work) {
  context_.threads = threads;
  context_.news = this;
  thread_ = std::thread([this, work = std::move(work)] {
    std::exception_ptr failure;
    try {
      work(context_, *this);
    } catch (...) {
      failure = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    failure_ = failure;
    ended_ = true;
    changed_.notify_all();
  });
}

Task::~Task() {
  cancel();
  const py::gil_scoped_release released;
  thread_.join();
}

std::optional<TaskEvent> Task::wait() {
  const py::gil_scoped_release released;
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kSignals, [this] { return ended_ || !events_.empty(); });
  if (events_.empty()) return std::nullopt;
  TaskEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

std::optional<TaskEvent> Task::next() {
  while (true) {
    std::optional<TaskEvent> event = wait();
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    if (event) return event;
    const std::lock_guard lock(mutex_);
    if (!ended_ || !events_.empty()) continue;
    if (failure_) std::rethrow_exception(failure_);
    return std::nullopt;
  }
}

void Task::add(TaskEvent event) {
  const std::lock_guard lock(mutex_);
  // Of a stage only the last that is known is of interest.
  const bool newer = !events_.empty() && event.kind == TaskEvent::Kind::Progress &&
                     events_.back().kind == TaskEvent::Kind::Progress &&
                     events_.back().progress.id == event.progress.id;
  if (newer) events_.pop_back();
  events_.push_back(std::move(event));
  changed_.notify_all();
}

void Task::add_text(std::string_view text) {
  add({.kind = TaskEvent::Kind::Text, .text = std::string(text)});
}

void Task::line(const std::string& text) {
  add({.kind = TaskEvent::Kind::Line, .text = text});
}

void Task::warning(const std::string& text) {
  add({.kind = TaskEvent::Kind::Warning, .text = text});
}

void Task::progress(const ProgressState& state) {
  add({.kind = TaskEvent::Kind::Progress, .progress = state});
}

}  // namespace coala::python
