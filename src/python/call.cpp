#include "python/call.h"

#include <pybind11/stl.h>

#include "core/progress_text.h"
#include "core/setting.h"
#include "python/text.h"

namespace coala::python {
namespace {

py::dict progress_of(const ProgressState& state) {
  py::dict progress;
  progress["stage"] = text_of(state.stage);
  progress["unit"] = text_of(state.unit);
  progress["done"] = state.done;
  progress["total"] = state.total;
  progress["elapsed_s"] = state.elapsed_s;
  progress["per_second"] = state.per_second;
  progress["left_s"] = state.left_s;
  progress["ended"] = state.ended;
  return progress;
}

const char* kind_name(TaskEvent::Kind kind) {
  switch (kind) {
    case TaskEvent::Kind::Warning:
      return "warning";
    case TaskEvent::Kind::Progress:
      return "progress";
    default:
      return "line";
  }
}

}  // namespace

Call::Call(int threads, const py::object& news)
    : threads_(threads), tell_(py::module_::import("coala_align._news").attr("teller")(news)) {
  check_setting({.name = "threads", .range = {.least = 0}}, threads, "threads");
}

void Call::tell(const TaskEvent& event) const {
  if (event.kind == TaskEvent::Kind::Progress) {
    tell_(kind_name(event.kind), text_of(progress_text(event.progress, 0, false)), progress_of(event.progress));
  } else {
    tell_(kind_name(event.kind), text_of(event.text), py::none());
  }
}

}  // namespace coala::python
