#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace coala {

/// The forms in which people keep preferences; docs/data-shapes.md shows a record of each.
enum class Shape {
  Auto,            ///< looked at record by record
  Coala,           ///< what `coala prepare` writes
  TrlExplicit,     ///< prompt, chosen, rejected; the prompt under any of its names
  TrlImplicit,     ///< chosen, rejected that start alike
  TrlUnpaired,     ///< prompt, completion, label (true or false); or messages, label
  H4,              ///< prompt is a text, chosen and rejected are message lists that repeat it
  HhRlhf,          ///< texts with "\n\nHuman: " and "\n\nAssistant: " turns
  Dsp,             ///< text: [a, b], score: [1, 0]
  HelpSteer,       ///< prompt, response and attributes; several lines per prompt
  HelpSteer3,      ///< two responses and a preference from -3 to 3
  Imdb,            ///< text, label (0 or 1)
  EduFeedback,     ///< utterances: [["agent1", text], ...]
  ShareGpt,        ///< conversations: [{from, value}, ...]
  OpenAiMessages,  ///< messages: [{role, content}, ...]
  MessagesPair,    ///< messages that end with the better answer, rejected_response
  TwoAnswers,      ///< two responses and a verdict: SHP, WebGPT, PKU-SafeRLHF, AlpacaFarm, the Arena, summaries
  Ranking,         ///< several responses with ratings or ranks: distilabel, Nectar, UltraFeedback, Stack Exchange
  Oasst,           ///< Open Assistant's messages, one per line
  OasstTree,       ///< Open Assistant's trees, one per line
  Unjudged,        ///< answers that nobody has judged, where they are wanted (ReaderOptions::unjudged)
};

/// The name on the command line and in reports, e.g. "hh-rlhf".
const char* shape_name(Shape shape);
/// @throws Error{BadUsage} that lists the names
Shape parse_shape(std::string_view name);
/// Every name, "auto" first.
std::vector<std::string> shape_names();

class Row;
/// The shape of a record by its columns and their types.
/// @throws Error{BadInput} naming the columns found when it is none
Shape detect_shape(const Row& row);

}  // namespace coala
