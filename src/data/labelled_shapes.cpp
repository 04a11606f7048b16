#include "data/labelled_shapes.h"

#include <fmt/format.h>

#include "core/error.h"

namespace coala {
namespace {

/// @param bad  how the shape writes "bad": 0 or -1
int read_label(const Row& row, int bad) {
  const nlohmann::json& label = row.get("label", "a label");
  if (label.is_boolean()) return label.get<bool>() ? 1 : -1;
  const double value = row.required_number("label", -1, 1);
  if (value == 1) return 1;
  if (value == bad) return -1;
  if (value == -1) {
    row.fail("the label is -1, which means unlabelled in this shape (good is 1, bad is 0)",
             "use the labelled part of the data; for labels of -1 and 1 call the text \"response\"");
  }
  row.fail(fmt::format("the label is {}; expected {} (bad) or 1 (good)", value, bad));
}

Prompt optional_prompt(const Row& row) {
  if (row.has_list("prompt")) return {row.messages("prompt"), {}};
  if (row.has("prompt")) return {{{"user", row.text("prompt")}}, {}};
  return {{}, row.has("prefix") ? row.text("prefix") : ""};
}

std::string completion(const Row& row) {
  if (!row.has_list("completion")) return row.text("completion");
  const std::vector<Message> messages = row.messages("completion");
  if (messages.size() != 1 || messages.front().role != "assistant") {
    row.fail("column \"completion\" is a list of messages; expected exactly one, by the assistant");
  }
  return messages.front().content;
}

}  // namespace

Labelled read_labelled(const Row& row, Shape shape) {
  Labelled labelled;
  labelled.id = row.id();
  if (shape == Shape::Imdb) {
    labelled.response = row.text("text");
    labelled.label = read_label(row, 0);
  } else if (shape == Shape::TrlUnpaired) {
    labelled.prompt = optional_prompt(row);
    labelled.response = completion(row);
    labelled.label = read_label(row, 0);
  } else if (shape == Shape::Coala) {
    labelled.prompt = optional_prompt(row);
    labelled.response = row.text("response");
    labelled.label = read_label(row, -1);
  } else {
    throw Error(ErrorCode::Internal, fmt::format("{} is not a shape of labelled responses", shape_name(shape)));
  }
  return labelled;
}

}  // namespace coala
