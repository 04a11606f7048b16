#include "align/align.h"

#include <fmt/format.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/data_options.h"
#include "cli/feature_options.h"
#include "cli/fit_device.h"
#include "cli/model_options.h"
#include "cli/seeds_option.h"
#include "core/metric_json.h"
#include "core/progress.h"
#include "data/data_files.h"
#include "judge/judge.h"
#include "report/verdict.h"
#include "terminal/path_kinds.h"
#include "terminal/setting_options.h"
#include "train/summary.h"

namespace coala {
namespace {

struct AlignCommand {
  CommonOptions common;
  ModelOptions model;
  DataOptions data;
  std::vector<std::string> eval_data;
  std::string judge_command;
  double judge_seconds = 60;
  AlignOptions align;
};

/// Commands that use the head, which only lack what is said to the model.
std::vector<std::string> commands_for(const AlignCommand& command, bool guides) {
  std::string model = " --model " + quoted(command.model.model);
  if (!command.model.lora.empty()) {
    model += fmt::format(" --lora {} --lora-scale {}", quoted(command.model.lora), command.model.lora_scale);
  }
  const std::string head = " --head " + quoted((command.align.out / "head.safetensors").string());
  if (!guides) {
    std::string data;
    for (const std::string& name : command.data.names) data += " " + quoted(name);
    return {fmt::format("coala score{}{} --data{}", model, head, data)};
  }
  return {fmt::format("coala chat{}{}", model, head),
          fmt::format("coala export{}{} --format gguf --out {}", model, head,
                      quoted((command.align.out / "model.gguf").string()))};
}

/// The user's program as a judge of the replies that find the scale out.
ReplyMarks marks_of(const AlignCommand& command) {
  if (command.judge_command.empty()) return {};
  return [&command](std::span<const Prompt> prompts, std::span<const std::string> replies) {
    std::vector<ReplyToJudge> to_judge;
    for (std::size_t i = 0; i < replies.size(); ++i) {
      to_judge.push_back({std::to_string(i + 1), &prompts[i], replies[i]});
    }
    return CommandJudge(command.judge_command, command.judge_seconds).scores(to_judge);
  };
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
  options.judge = marks_of(command);
  ThreadPool pool(chosen_threads(command.common));
  std::string news;
  const std::unique_ptr<Backend> device = open_fit_device(command.model.device, pool, news);
  if (device) log_line(news);
  options.backend = device.get();
  options.next = [&command](bool guides) { return commands_for(command, guides); };
  const AlignResult result = align(options, pool);
  if (command.common.json) {
    print_json(metrics_json(result.metrics));
    return;
  }
  print_out("{}", summary(result.metrics));
  print_out("head: {}\nreport: {}\n", (options.out / "head.safetensors").string(),
            (options.out / "report.html").string());
  const Verdict verdict = verdict_of(result.metrics);
  print_out("{}\n", verdict.sentence);
  for (const std::string& remark : verdict.remarks) print_out("{}\n", remark);
  for (const std::string& next : options.next(result.metrics.token_head.has_value())) print_out("  {}\n", next);
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
  command
      .add_option(
          "--guidance-budget", options->align.guidance_budget,
          "how far the token head may move the model from itself at scale 1, when it is sure: divergence per token as "
          "a share of the model's entropy")
      ->check(CLI::Range(0.001, 10.0))
      ->capture_default_str();
  CLI::Option* judge = command.add_option(
      "--judge-command", options->judge_command,
      "program that marks the replies by which the scale of guidance is found, as in `coala eval --generate`: one that "
      "it clearly likes less than the model's own is too strong");
  command.add_option("--judge-seconds", options->judge_seconds, "with --judge-command: that it may take a reply")
      ->needs(judge)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option(
      "--wish", options->align.wish,
      "what is wanted, in words: replies are written with that as a system prompt too, and the report says "
      "whether it would do without a head");
  add_feature_options(command, options->align.features);
  add_seeds_option(command, options->align.seeds);
  add_setting_options(command, options->align.fit);
  add_common_options(command, options->common);
  command.callback([options, &command] { run_align(*options, command); });
}

}  // namespace coala
