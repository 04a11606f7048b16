#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>

#include "cli/check_options.h"
#include "cli/command.h"
#include "cli/model_features.h"
#include "core/progress.h"
#include "eval/metrics.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

struct ScoreCommand {
  CommonOptions common;
  ModelInput input;
  std::string head;
};

/// One object per response; those of a pair carry the pair's margin too.
std::vector<Json> score_lines(const Head& head, const HeadFeatures& input) {
  const Scores scores = score_features(head, input.features);
  std::vector<Json> lines;
  for (std::size_t i = 0; i < input.ids.size(); ++i) {
    const auto line = [&](double score) {
      return Json{{"id", input.ids[i]}, {"score", score}, {"probability", head.probability(score)}};
    };
    if (input.features.kind == FeatureKind::Labelled) {
      lines.push_back(line(scores.single[i]));
      continue;
    }
    const double margin = scores.chosen[i] - scores.rejected[i];
    for (const bool chosen : {true, false}) {
      Json one = line(chosen ? scores.chosen[i] : scores.rejected[i]);
      one["response"] = chosen ? "chosen" : "rejected";
      one["margin"] = margin;
      lines.push_back(std::move(one));
    }
  }
  return lines;
}

void run_score(const ScoreCommand& command) {
  set_quiet(command.common.quiet);
  const Head head = load_head(command.head);
  const HeadFeatures input = features_for_head(head, command.head, command.input, chosen_threads(command.common));
  const std::vector<Json> lines = score_lines(head, input);
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
  CLI::App& command = *app.add_subcommand("score", "score responses: one JSON line for each");
  command.add_option("--head", options->head, "head file")->type_name(kInput)->required();
  add_model_input_options(command, options->input, /*required=*/true);
  add_common_options(command, options->common);
  command.callback([options] { run_score(*options); });
}

}  // namespace coala
