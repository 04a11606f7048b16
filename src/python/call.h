#pragma once

#include <pybind11/pybind11.h>

#include <optional>
#include <type_traits>
#include <utility>

#include "python/task.h"

namespace coala::python {

namespace py = pybind11;

/// What every call that takes time is told: how many threads, and who takes its news.
class Call {
 public:
  /// @param news  of Python, called with a News; None: its logging
  /// @throws Error{BadUsage} for a number of threads below 0
  Call(int threads, const py::object& news);

  int threads() const { return threads_; }
  /// Hands news on. @throws what it raises
  void tell(const TaskEvent& event) const;

  /// What work(context) returns. Ctrl-C and what the news raise end it.
  template <class Work>
  auto run(const Work& work) const {
    std::optional<std::invoke_result_t<Work, const v1::Context&>> result;
    Task task(threads_, [&](const v1::Context& context, Task&) { result.emplace(work(context)); });
    while (const std::optional<TaskEvent> event = task.next()) tell(*event);
    return std::move(*result);
  }

 private:
  int threads_;
  py::object tell_;
};

}  // namespace coala::python
