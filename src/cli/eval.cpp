#include <fmt/format.h>

#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/model_features.h"
#include "core/error.h"
#include "core/progress.h"
#include "core/resources.h"
#include "eval/metrics.h"
#include "features/feature_subset.h"
#include "train/summary.h"

namespace coala {
namespace {

struct EvalOptions {
  CommonOptions common;
  std::string head;
  std::string features;
  ModelInput input;
};

void run_eval(const EvalOptions& options) {
  set_quiet(options.common.quiet);
  const Head head = load_head(options.head);
  const bool from_model = !options.input.model.model.empty() && !options.input.data.path.empty();
  const bool from_features = !options.features.empty();
  if (from_model == from_features) {
    throw Error(ErrorCode::BadUsage, "name either a feature file or a model and data",
                "use --features G, or --model M --data D");
  }
  const FeatureSet set = from_model
                             ? features_for_head(head, options.head, options.input, options.common.threads).features
                             : whole_rows(load_features(options.features));
  check_head_matches(head, options.head, set.dimension(), set.metadata, set.path, options.input.allow_unbound);
  nlohmann::ordered_json metrics = evaluation_metrics(set, score_features(head, set), {}, options.common.seed);
  metrics["evaluation"] = fmt::format("all rows of {}", set.path);
  metrics["peak_rss_bytes"] = peak_rss_bytes();
  if (options.common.json) {
    print_json(metrics);
  } else {
    fmt::print("{}", summary(metrics));
  }
}

}  // namespace

void add_eval_command(CLI::App& app) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App& command = *app.add_subcommand("eval", "evaluate a reward head on features, or on a model and data");
  command.add_option("--head", options->head, "head file")->required();
  command.add_option("--features", options->features, "feature file to evaluate on, or a folder of them");
  add_model_input_options(command, options->input, /*required=*/false);
  add_common_options(command, options->common);
  command.callback([options] { run_eval(*options); });
}

}  // namespace coala
