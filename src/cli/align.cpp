#include "align/align.h"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/check_options.h"
#include "cli/command.h"
#include "cli/data_options.h"
#include "cli/feature_options.h"
#include "cli/fit_options.h"
#include "cli/model_options.h"
#include "core/progress.h"
#include "data/data_files.h"
#include "train/summary.h"

namespace coala {
namespace {

struct AlignCommand {
  CommonOptions common;
  ModelOptions model;
  DataOptions data;
  std::vector<std::string> eval_data;
  AlignOptions align;
};

/// What can be done with the head, as commands that only lack the prompt.
void print_what_next(const AlignCommand& command, const nlohmann::ordered_json& metrics) {
  std::string model = " --model " + quoted(command.model.model);
  if (!command.model.lora.empty()) {
    model += fmt::format(" --lora {} --lora-scale {}", quoted(command.model.lora), command.model.lora_scale);
  }
  const std::string head = " --head " + quoted((command.align.out / "head.safetensors").string());
  if (metrics.contains("token_head")) {
    print_out("The head now guides what the model writes, and can be made part of it:\n");
    print_out("  coala generate{}{} --prompt \"...\"\n", model, head);
    print_out("  coala export{}{} --format gguf --out {}\n", model, head,
              quoted((command.align.out / "model.gguf").string()));
  } else {
    print_out("The head scores answers. There is no token head, which could guide what the model writes:\n");
    std::string data;
    for (const std::string& name : command.data.names) data += " " + quoted(name);
    print_out("  coala score{}{} --data{}\n", model, head, data);
  }
}

void run_align(AlignCommand& command, const CLI::App& app) {
  set_quiet(command.common.quiet);
  AlignOptions& options = command.align;
  options.model = command.model.file();
  options.features.template_mode = command.model.template_mode();
  options.skip_bad = command.data.skip_bad;
  options.data = command.data.files();
  options.eval_data = find_data_files(command.eval_data);
  options.fit.seed = command.common.seed;
  options.fit.phase_two.seed = command.common.seed;
  options.command = command_line(app);
  ThreadPool pool(chosen_threads(command.common));
  const AlignResult result = align(options, pool);
  if (command.common.json) {
    print_json(result.metrics);
    return;
  }
  print_out("{}", summary(result.metrics));
  print_out("head: {}\nreport: {}\n", (options.out / "head.safetensors").string(),
            (options.out / "report.html").string());
  print_what_next(command, result.metrics);
}

}  // namespace

void add_align_command(CLI::App& app) {
  auto options = std::make_shared<AlignCommand>();
  CLI::App& command =
      *app.add_subcommand("align", "the whole job: from a model and preferences to a reward head and its report");
  add_model_options(command, options->model, /*required=*/true);
  add_data_options(command, options->data, /*required=*/true);
  add_skip_option(command, options->data);
  CLI::Option* eval =
      command.add_option("--eval-data", options->eval_data, "preferences to evaluate on, of the same shape")
          ->type_name(kData);
  command
      .add_option("--eval-fraction", options->align.eval_fraction,
                  "without --eval-data: share of the prompts that is held out")
      ->check(CLI::Range(0.01, 0.9))
      ->excludes(eval)
      ->capture_default_str();
  command.add_option("--out", options->align.out, "folder for head, metrics, report and features")
      ->type_name(kOutput)
      ->required();
  command
      .add_option("--token-rank", options->align.token_rank,
                  "rank of the token head, which guides every token of `coala generate`; 0: none")
      ->capture_default_str();
  add_feature_options(command, options->align.features);
  add_seeds_option(command, options->align.seeds);
  add_fit_options(command, options->align.fit);
  add_common_options(command, options->common);
  command.callback([options, &command] { run_align(*options, command); });
}

}  // namespace coala
