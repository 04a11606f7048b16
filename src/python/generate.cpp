#include "coala/generate.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "coala/error.h"
#include "python/asked.h"
#include "python/bindings.h"
#include "python/call.h"
#include "python/text.h"

namespace coala::python {
namespace {

using Biases = std::map<std::int32_t, double>;

const char* finish_word(v1::Finish finish) {
  switch (finish) {
    case v1::Finish::Stop:
      return "stop";
    case v1::Finish::Length:
      return "length";
    case v1::Finish::Context:
      return "context";
    case v1::Finish::Stopped:
      return "stopped";
  }
  throw Error(ErrorCode::Internal, "a reply that has ended in no known way");
}

py::list replies_of(const std::vector<v1::Reply>& replies) {
  py::list result;
  for (const v1::Reply& reply : replies) {
    py::dict entry;
    entry["text"] = text_of(reply.text);
    entry["reasoning"] = text_of(reply.reasoning);
    entry["finish"] = finish_word(reply.finish);
    entry["tokens"] = reply.tokens;
    entry["log_probability"] = reply.log_probability;
    entry["divergence"] = reply.divergence;
    entry["score"] = reply.score;
    result.append(entry);
  }
  return result;
}

py::list generate(const v1::Model& model, const py::object& prompt, const py::list& heads,
                  const std::vector<std::string>& stops, const Biases& logit_bias, const py::dict& keywords,
                  int threads, const py::object& news) {
  const AskedReplies asked = asked_replies(model, prompt, heads, stops, logit_bias, keywords);
  return replies_of(Call(threads, news).run([&](const v1::Context& context) {
    return v1::generate(asked.model, asked.request, asked.settings, context);
  }));
}

/// A reply that is read as it grows.
class ReplyStream {
 public:
  ReplyStream(const v1::Model& model, const py::object& prompt, const py::list& heads,
              const std::vector<std::string>& stops, const Biases& logit_bias, const py::dict& keywords, int threads,
              const py::object& news)
      : call_(threads, news), asked_(asked_replies(model, prompt, heads, stops, logit_bias, keywords)) {
    if (asked_.request.guidance == Guidance::BestOfN) {
      throw Error(ErrorCode::BadUsage, "the guidance best-of-n keeps one of several replies, and a stream stays",
                  "use generate(), or another guidance");
    }
    task_ = std::make_shared<Task>(threads, [this](const v1::Context& context, Task& own) {
      asked_.request.on_text = [&own](std::string_view text) {
        own.add_text(text);
        return true;
      };
      replies_ = v1::generate(asked_.model, asked_.request, asked_.settings, context);
    });
  }

  /// The next piece, or None at the end.
  py::object next() {
    const std::shared_ptr<Task> task = task_;  // another thread may close the stream meanwhile
    try {
      while (task) {
        const std::optional<TaskEvent> event = task->next();
        if (!event) break;
        if (event->kind == TaskEvent::Kind::Text) return text_of(event->text);
        call_.tell(*event);
      }
    } catch (...) {
      close();
      throw;
    }
    task_.reset();
    return py::none();
  }

  void close() {
    if (task_) task_->cancel();
    task_.reset();
  }
  /// Of a reply that has ended by itself: it, in a list.
  py::list replies() const { return replies_of(replies_); }

 private:
  Call call_;
  AskedReplies asked_;
  std::vector<v1::Reply> replies_;
  std::shared_ptr<Task> task_;  ///< the last: it uses the others
};

}  // namespace

void bind_generate(py::module_& module) {
  module.def("generate", generate);
  py::class_<ReplyStream>(module, "ReplyStream")
      .def(py::init<const v1::Model&, const py::object&, const py::list&, const std::vector<std::string>&,
                    const Biases&, const py::dict&, int, const py::object&>())
      .def("next", &ReplyStream::next)
      .def("close", &ReplyStream::close)
      .def("replies", &ReplyStream::replies);
}

}  // namespace coala::python
