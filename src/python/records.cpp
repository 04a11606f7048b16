#include "python/records.h"

#include <fmt/format.h>

#include <optional>
#include <string>

#include "core/error.h"
#include "core/utf8.h"
#include "python/text.h"

namespace coala::python {
namespace {

std::string kind_of(py::handle value) {
  return py::type::of(value).attr("__name__").cast<std::string>();
}

std::string text_in(py::handle value, const std::string& column) {
  if (py::isinstance<py::str>(value)) return value.cast<std::string>();
  throw Error(ErrorCode::BadInput, fmt::format("'{}' is of the type {}; expected a text", column, kind_of(value)));
}

Message message_of(py::handle value) {
  if (!py::isinstance<py::dict>(value)) {
    throw Error(
        ErrorCode::BadInput,
        fmt::format("a message of a prompt is of the type {}; expected a dict of role and content", kind_of(value)));
  }
  const auto message = py::reinterpret_borrow<py::dict>(value);
  if (message.size() != 2 || !message.contains("role") || !message.contains("content")) {
    throw Error(ErrorCode::BadInput, "a message of a prompt has other fields than role and content");
  }
  return {text_in(message["role"], "role"), text_in(message["content"], "content")};
}

/// Reads a record column by column; what nobody has asked for is an error.
class RecordColumns {
 public:
  explicit RecordColumns(const py::dict& record) : rest_(record.attr("copy")()) {}

  std::optional<py::object> take(const char* column) {
    if (!rest_.contains(column)) return std::nullopt;
    py::object value = rest_.attr("pop")(column);
    return value.is_none() ? std::nullopt : std::optional(value);
  }
  std::string text(const char* column) {
    const auto value = take(column);
    if (!value) throw Error(ErrorCode::BadInput, fmt::format("a record has no '{}'", column));
    return text_in(*value, column);
  }
  void text(const char* column, std::string& to) {
    if (const auto value = take(column)) to = text_in(*value, column);
  }
  void number(const char* column, std::optional<double>& to) {
    const auto value = take(column);
    if (!value) return;
    if (!py::isinstance<py::float_>(*value) && !py::isinstance<py::int_>(*value)) {
      throw Error(ErrorCode::BadInput,
                  fmt::format("'{}' is of the type {}; expected a number", column, kind_of(*value)));
    }
    to = value->cast<double>();
  }
  void notes(RecordNotes& record, Prompt& prompt) {
    text("id", record.id);
    text("subset", record.subset);
    text("group", record.question);
    text("prefix", prompt.text);
    if (const auto asked = take("prompt")) prompt = prompt_of(*asked);
  }
  void end() const {
    if (rest_.empty()) return;
    const auto column = py::str((*rest_.begin()).first).cast<std::string>();
    throw Error(ErrorCode::BadInput, fmt::format("a record has the column {}, which is not read", quoted_text(column)),
                "leave it out, or read a file of any shape with Dataset.read()");
  }

 private:
  py::dict rest_;
};

void add_notes(py::dict& record, const RecordNotes& notes, const Prompt& prompt) {
  record["id"] = text_of(notes.id);
  if (prompt.messages.empty()) {
    record["prefix"] = text_of(prompt.text);
  } else {
    py::list messages;
    for (const Message& message : prompt.messages) {
      py::dict entry;
      entry["role"] = text_of(message.role);
      entry["content"] = text_of(message.content);
      messages.append(entry);
    }
    record["prompt"] = messages;
  }
  if (!notes.subset.empty()) record["subset"] = text_of(notes.subset);
  if (!notes.question.empty()) record["group"] = text_of(notes.question);
}

}  // namespace

Prompt prompt_of(py::handle prompt) {
  if (py::isinstance<py::str>(prompt)) return {{{"user", prompt.cast<std::string>()}}, {}};
  Prompt result;
  if (py::isinstance<py::dict>(prompt)) {
    const auto text = py::reinterpret_borrow<py::dict>(prompt);
    if (text.size() == 1 && text.contains("prefix")) return {{}, text_in(text["prefix"], "prefix")};
  } else if (py::isinstance<py::list>(prompt) || py::isinstance<py::tuple>(prompt)) {
    for (const py::handle message : prompt) result.messages.push_back(message_of(message));
    if (!result.messages.empty()) return result;
  }
  throw Error(ErrorCode::BadInput, "a prompt is none; expected a text, or a list of messages with role and content");
}

Pair pair_of(const py::dict& record) {
  RecordColumns columns(record);
  Pair pair;
  columns.notes(pair, pair.prompt);
  pair.chosen = columns.text("chosen");
  pair.rejected = columns.text("rejected");
  columns.number("margin", pair.margin);
  columns.number("weight", pair.weight);
  columns.end();
  return pair;
}

Labelled labelled_of(const py::dict& record) {
  RecordColumns columns(record);
  Labelled labelled;
  columns.notes(labelled, labelled.prompt);
  labelled.response = columns.text("response");
  std::optional<double> label;
  columns.number("label", label);
  if (label && *label != 1 && *label != -1 && *label != 0) {
    throw Error(ErrorCode::BadInput, fmt::format("'label' is {}; expected 1, -1, or 0 for unjudged", *label));
  }
  labelled.label = static_cast<int>(label.value_or(0));
  columns.end();
  return labelled;
}

py::dict record_of(const Pair& pair) {
  py::dict record;
  add_notes(record, pair, pair.prompt);
  record["chosen"] = text_of(pair.chosen);
  record["rejected"] = text_of(pair.rejected);
  if (pair.margin) record["margin"] = *pair.margin;
  if (pair.weight) record["weight"] = *pair.weight;
  return record;
}

py::dict record_of(const Labelled& labelled) {
  py::dict record;
  add_notes(record, labelled, labelled.prompt);
  record["response"] = text_of(labelled.response);
  record["label"] = labelled.label;
  return record;
}

}  // namespace coala::python
