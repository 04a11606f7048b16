#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/model_features.h"
#include "core/error.h"
#include "core/progress.h"
#include "decode/reply_lines.h"
#include "judge/score_lines.h"
#include "terminal/path_kinds.h"

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

void run_score(const ScoreCommand& command) {
  set_quiet(command.common.quiet);
  if (command.responses.empty() == command.input.data.names.empty() || (command.prompt && command.responses.empty())) {
    throw Error(ErrorCode::BadUsage, "either --data or --response must be given, and not both",
                "--prompt QUESTION --response ANSWER scores one answer, --data - reads standard input");
  }
  const std::shared_ptr<const RecordStore> store =
      command.responses.empty()
          ? read_records(command.input.data, /*unjudged=*/true)
          : std::make_shared<const RecordStore>(given_answers(command.prompt, command.responses), "the command line");
  const Head head = load_head(command.head);
  const Backbone backbone(command.input.model.file());
  const FeatureSettings settings =
      check_model(head, command.head, backbone, command.input.model, command.input.allow_unbound);
  show_warnings(backbone, settings.template_mode);
  Scorer scorer(backbone, settings, chosen_threads(command.common));
  const std::vector<Json> lines = score_lines(head, scorer, *store, command.input.data.skip_bad);
  if (command.common.json) {
    print_json({{"scores", lines}});
    return;
  }
  for (const Json& line : lines) fmt::print("{}", one_line(line));
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
