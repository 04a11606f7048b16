#include "data/shape.h"

#include <fmt/format.h>

#include <array>

#include "core/error.h"
#include "data/comparison.h"
#include "data/labelled_shapes.h"
#include "data/oasst.h"
#include "data/pair_shapes.h"
#include "data/prompt_columns.h"
#include "data/ranking.h"
#include "data/row.h"
#include "data/unjudged.h"

namespace coala {
namespace {

constexpr std::array kShapes{
    Shape::Auto,       Shape::Coala,       Shape::TrlExplicit, Shape::TrlImplicit,    Shape::TrlUnpaired,
    Shape::H4,         Shape::HhRlhf,      Shape::Dsp,         Shape::HelpSteer,      Shape::HelpSteer3,
    Shape::Imdb,       Shape::EduFeedback, Shape::ShareGpt,    Shape::OpenAiMessages, Shape::MessagesPair,
    Shape::TwoAnswers, Shape::Ranking,     Shape::Oasst,       Shape::OasstTree,
};

Shape detect_preference_shape(const Row& row) {
  const bool texts = row.has_text("chosen");
  if (row.has_text("prefix") && texts) return Shape::Coala;
  if (is_hh_pair(row)) return Shape::HhRlhf;
  if (row.has_messages("prompt") && texts) return Shape::Coala;
  if (!has_prompt(row)) return Shape::TrlImplicit;
  if (has_message_answers(row) && prompt_list_column(row) == nullptr) return Shape::H4;
  return Shape::TrlExplicit;
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
    case Shape::MessagesPair:
      return "messages-pair";
    case Shape::TwoAnswers:
      return "two-answers";
    case Shape::Ranking:
      return "ranking";
    case Shape::Oasst:
      return "oasst";
    case Shape::OasstTree:
      return "oasst-tree";
    case Shape::Dsp:
      return "dsp";
    case Shape::HelpSteer:
      return "helpsteer";
    case Shape::HelpSteer3:
      return "helpsteer3";
    case Shape::Unjudged:
      return "unjudged";
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
  if (is_reply(row) && label_column(row) == nullptr) refuse_unjudged(row);
  if (is_oasst_message(row)) return Shape::Oasst;
  if (is_oasst_tree(row)) return Shape::OasstTree;
  if (row.has("overall_preference") || row.has("preference_strength")) return Shape::HelpSteer3;
  if (rejected_beside_messages(row) != nullptr && conversation_column(row) != nullptr) return Shape::MessagesPair;
  if (has_two_answers(row)) return detect_preference_shape(row);
  if (row.has_list("text") && row.has("score")) return Shape::Dsp;
  if (is_comparison(row)) return Shape::TwoAnswers;
  if (is_ranking(row)) return Shape::Ranking;
  if (row.has_key("response") && row.has_key("helpfulness")) return Shape::HelpSteer;
  if (row.has_text("text") && row.has_key("label")) return Shape::Imdb;
  if (row.has_key("response") && row.has_key("label")) return Shape::Coala;
  if (label_column(row) != nullptr && holds_labelled_response(row)) return Shape::TrlUnpaired;
  if (row.has_list("utterances")) return Shape::EduFeedback;
  if (row.has_list("conversations")) return Shape::ShareGpt;
  if (row.has_list("messages")) return Shape::OpenAiMessages;
  refuse_unjudged(row);
  row.fail_columns("no known data shape has these columns",
                   "chosen, rejected (and prompt) | text, label | text, score | prompt, completion, label | prompt, "
                   "response, helpfulness, ... | response1, response2, overall_preference | response_a, response_b, "
                   "winner | answers with ranks | messages, label | utterances | conversations | messages; --columns "
                   "says which column is which");
}

}  // namespace coala
