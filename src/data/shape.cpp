#include "data/shape.h"

#include <fmt/format.h>

#include <array>

#include "core/error.h"
#include "data/hh_turns.h"
#include "data/row.h"

namespace coala {
namespace {

constexpr std::array kShapes{
    Shape::Auto, Shape::Coala,       Shape::TrlExplicit, Shape::TrlImplicit,    Shape::TrlUnpaired,
    Shape::H4,   Shape::HhRlhf,      Shape::Dsp,         Shape::HelpSteer,      Shape::HelpSteer3,
    Shape::Imdb, Shape::EduFeedback, Shape::ShareGpt,    Shape::OpenAiMessages,
};

Shape detect_preference_shape(const Row& row) {
  const bool texts = row.has_text("chosen");
  if (row.has_text("prefix") || (row.has_list("prompt") && texts)) return Shape::Coala;
  if (row.has_text("prompt") && row.has_list("chosen")) return Shape::H4;
  const char* first = row.has_text("prompt") ? "prompt" : "chosen";
  if (texts && row.has_text(first) && looks_like_hh(row.text(first))) return Shape::HhRlhf;
  return row.has("prompt") ? Shape::TrlExplicit : Shape::TrlImplicit;
}

}  // namespace

const char* shape_name(Shape shape) {
  switch (shape) {
    case Shape::Auto:
      return "auto";
    case Shape::Coala:
      return "coala";
    case Shape::TrlExplicit:
      return "trl-explicit";
    case Shape::TrlImplicit:
      return "trl-implicit";
    case Shape::TrlUnpaired:
      return "trl-unpaired";
    case Shape::H4:
      return "h4";
    case Shape::HhRlhf:
      return "hh-rlhf";
    case Shape::Dsp:
      return "dsp";
    case Shape::HelpSteer:
      return "helpsteer";
    case Shape::HelpSteer3:
      return "helpsteer3";
    case Shape::Imdb:
      return "imdb";
    case Shape::EduFeedback:
      return "edufeedback";
    case Shape::ShareGpt:
      return "sharegpt";
    case Shape::OpenAiMessages:
      return "openai";
  }
  throw Error(ErrorCode::Internal, "a shape without a name");
}

std::vector<std::string> shape_names() {
  std::vector<std::string> names;
  for (const Shape shape : kShapes) names.emplace_back(shape_name(shape));
  return names;
}

Shape parse_shape(std::string_view name) {
  for (const Shape shape : kShapes) {
    if (name == shape_name(shape)) return shape;
  }
  throw Error(ErrorCode::BadUsage, fmt::format("no data shape is called \"{}\"", name),
              fmt::format("use one of {}", fmt::join(shape_names(), ", ")));
}

Shape detect_shape(const Row& row) {
  if (row.has("chosen") && row.has("rejected")) return detect_preference_shape(row);
  if (row.has_list("text") && row.has("score")) return Shape::Dsp;
  if (row.has("completion") && row.has("label")) return Shape::TrlUnpaired;
  if (row.has_text("text") && row.has("label")) return Shape::Imdb;
  if (row.has("response") && row.has("label")) return Shape::Coala;
  if (row.has("response") && row.has("helpfulness")) return Shape::HelpSteer;
  if (row.has("overall_preference") || row.has("preference_strength")) return Shape::HelpSteer3;
  if (row.has_list("utterances")) return Shape::EduFeedback;
  if (row.has_list("conversations")) return Shape::ShareGpt;
  if (row.has_list("messages")) return Shape::OpenAiMessages;
  row.fail_columns("no known data shape has these columns",
                   "chosen, rejected (and prompt) | text, label | text, score | prompt, completion, label | prompt, "
                   "response, helpfulness, ... | response1, response2, overall_preference | utterances | "
                   "conversations | messages");
}

}  // namespace coala
