#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/check_options.h"
#include "cli/command.h"
#include "cli/model_features.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/progress.h"
#include "data/split.h"
#include "eval/metrics.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

struct ScoreCommand {
  CommonOptions common;
  ModelInput input;
  std::string head;
  std::optional<std::string> prompt;
  std::vector<std::string> responses;
};

/// Of each answer its place among those to the same prompt, from 1; empty where every prompt has one answer.
std::vector<std::size_t> ranks(const std::vector<std::uint64_t>& prompts, const std::vector<double>& scores) {
  std::map<std::uint64_t, std::vector<double>> of_prompt;
  for (std::size_t i = 0; i < prompts.size(); ++i) of_prompt[prompts[i]].push_back(scores[i]);
  if (of_prompt.size() == prompts.size()) return {};
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const auto better = [&](double other) { return other > scores[i]; };
    places.push_back(1 + static_cast<std::size_t>(std::ranges::count_if(of_prompt[prompts[i]], better)));
  }
  return places;
}

/// One object per response that stands by itself, with its text, and its rank among the answers to its prompt.
std::vector<Json> answer_lines(const Head& head, const HeadFeatures& input, const Scores& scores) {
  std::vector<Json> lines;
  std::vector<std::uint64_t> prompts;
  for (std::size_t i = 0; i < input.ids.size(); ++i) {
    const Record record = input.store->record(input.records[i]);
    prompts.push_back(hash64(prompt_key(record)));
    lines.push_back({{"id", input.ids[i]},
                     {"score", scores.single[i]},
                     {"probability", head.probability(scores.single[i])},
                     {"text", std::get<Labelled>(record).response}});
  }
  const std::vector<std::size_t> places = ranks(prompts, scores.single);
  for (std::size_t i = 0; i < places.size(); ++i) lines[i]["rank"] = places[i];
  return lines;
}

/// Two objects per pair; both carry the pair's margin.
std::vector<Json> pair_lines(const Head& head, const HeadFeatures& input, const Scores& scores) {
  std::vector<Json> lines;
  for (std::size_t i = 0; i < input.ids.size(); ++i) {
    const double margin = scores.chosen[i] - scores.rejected[i];
    for (const bool chosen : {true, false}) {
      const double score = chosen ? scores.chosen[i] : scores.rejected[i];
      lines.push_back({{"id", input.ids[i]},
                       {"score", score},
                       {"probability", head.probability(score)},
                       {"response", chosen ? "chosen" : "rejected"},
                       {"margin", margin}});
    }
  }
  return lines;
}

/// The answers of the command line.
std::shared_ptr<const RecordStore> given_answers(const ScoreCommand& command) {
  std::vector<Labelled> answers;
  for (const std::string& response : command.responses) {
    Labelled answer;
    answer.id = std::to_string(answers.size() + 1);
    if (command.prompt) answer.prompt.messages = {{"user", *command.prompt}};
    answer.response = response;
    answers.push_back(std::move(answer));
  }
  return std::make_shared<const RecordStore>(answers, "the command line");
}

void run_score(const ScoreCommand& command) {
  set_quiet(command.common.quiet);
  if (command.responses.empty() == command.input.data.names.empty() || (command.prompt && command.responses.empty())) {
    throw Error(ErrorCode::BadUsage, "either --data or --response must be given, and not both",
                "--prompt QUESTION --response ANSWER scores one answer, --data - reads standard input");
  }
  const Head head = load_head(command.head);
  const HeadFeatures input = features_for_head(
      head, command.head, command.input,
      command.responses.empty() ? read_records(command.input.data, /*unjudged=*/true) : given_answers(command),
      chosen_threads(command.common));
  const Scores scores = score_features(head, input.features);
  const bool pairs = input.features.kind == FeatureKind::Pairs;
  const std::vector<Json> lines = pairs ? pair_lines(head, input, scores) : answer_lines(head, input, scores);
  if (command.common.json) {
    print_json({{"scores", lines}});
    return;
  }
  for (const Json& line : lines) {
    fmt::print("{}\n", line.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
}

}  // namespace

void add_score_command(CLI::App& app) {
  auto options = std::make_shared<ScoreCommand>();
  CLI::App& command = *app.add_subcommand("score", "score answers, judged or not: one JSON line for each");
  command.add_option("--head", options->head, "head file")->type_name(kInput)->required();
  command.add_option("-p,--prompt", options->prompt, "what the user says");
  command.add_option("--response", options->responses, "an answer to it, or several, instead of --data");
  add_model_input_options(command, options->input, /*model_required=*/true, /*data_required=*/false);
  add_common_options(command, options->common);
  command.callback([options] { run_score(*options); });
}

}  // namespace coala
