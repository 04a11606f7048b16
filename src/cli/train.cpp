#include <fmt/format.h>

#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/fit_device.h"
#include "cli/seeds_option.h"
#include "core/atomic_file.h"
#include "core/error.h"
#include "core/metric_json.h"
#include "core/progress.h"
#include "report/report.h"
#include "terminal/path_kinds.h"
#include "terminal/setting_options.h"
#include "train/control.h"
#include "train/seeds.h"
#include "train/summary.h"

namespace coala {
namespace {

struct TrainOptions {
  CommonOptions common;
  FitSettings fit;
  std::string features;
  std::string eval_features;
  std::string out;
  std::string report;
  std::string device = "cpu";
  int folds = 0;
  int seeds = 1;
  bool control = false;
  bool token_head = false;
};

void run_train(const TrainOptions& options, const CLI::App& command) {
  set_quiet(options.common.quiet);
  FitSettings settings = options.fit;
  settings.seed = options.common.seed;
  settings.phase_two.seed = options.common.seed;
  EvaluationPlan plan;
  plan.folds = options.folds;
  plan.token_head = options.token_head;
  ThreadPool pool(chosen_threads(options.common));
  std::string news;
  const std::unique_ptr<Backend> device = open_fit_device(options.device, pool, news);
  if (!news.empty() && settings.model_class == ModelClass::Gated) log_line(news);
  FeatureSet train = load_features(options.features);
  if (!options.eval_features.empty()) plan.held_out = load_features(options.eval_features);
  if (options.control) {
    if (!plan.held_out) {
      throw Error(ErrorCode::BadUsage, "a control is evaluated on true preferences, and there are none apart",
                  "name a set of its own with --eval-features");
    }
    shuffle_preferences(train, options.common.seed);
    log_warning("a control: the head learns from shuffled preferences, and should be no better than chance");
  }

  const TrainingRun run = train_over_seeds(train, plan, settings, options.seeds, pool, device.get());
  save_head(run.head, options.out);
  if (!options.report.empty()) {
    constexpr std::size_t kExamples = 10;  // of each kind
    const Examples examples = surest_rows(run.evaluated, kExamples);
    write_file(options.report, html_report({run.metrics, run.evaluated, examples, {}, {}, command_line(command)}));
  }
  if (options.common.json) {
    print_json(metrics_json(run.metrics));
  } else {
    print_out("{}", summary(run.metrics));
    print_out("head: {}\n", options.out);
    if (!options.report.empty()) print_out("report: {}\n", options.report);
  }
}

}  // namespace

void add_train_command(CLI::App& app) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App& command = *app.add_subcommand("train", "train a reward head on a feature file");
  command.add_option("--features", options->features, "feature file (safetensors) to train on, or a folder of them")
      ->type_name(kInput)
      ->required();
  CLI::Option* eval = command
                          .add_option("--eval-features", options->eval_features,
                                      "feature file to evaluate on; without it and without --folds a fifth of the "
                                      "prompts is held out")
                          ->type_name(kInput);
  command.add_option("--folds", options->folds, "evaluate by cross-validation over this many folds by prompt")
      ->check(CLI::Range(2, 100))
      ->excludes(eval);
  command.add_flag("--control", options->control,
                   "shuffle the preferences first (by --seed): what such a head still achieves is chance");
  command.add_flag("--token-head", options->token_head,
                   "fit a token head as well, which guides every token (features of `coala extract --token-rank`)");
  command.add_option("--out", options->out, "head file to write")->type_name(kOutput)->required();
  command.add_option("--report", options->report, "HTML page about the run to write (docs/report.md)")
      ->type_name(kOutput);
  command
      .add_option("--device", options->device,
                  "what computes the gated program: cpu, or a device that `coala devices` lists (vulkan:0); everything "
                  "else is computed on the CPU")
      ->capture_default_str();
  add_seeds_option(command, options->seeds);
  add_setting_options(command, options->fit);
  add_common_options(command, options->common);
  command.callback([options, &command] { run_train(*options, command); });
}

}  // namespace coala
