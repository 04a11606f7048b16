#include "cli/eval_generate.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/hash.h"
#include "decode/encode_prompts.h"
#include "judge/guided_trial.h"
#include "report/frontier.h"
#include "terminal/path_kinds.h"

namespace coala {
namespace {

std::unique_ptr<Judge> make_judge(const GeneratedEvalOptions& options, const Head& guiding, const Backbone& backbone,
                                  const ModelInput& input, int threads) {
  if (!options.judge_command.empty())
    return std::make_unique<CommandJudge>(options.judge_command, options.judge_seconds);
  Head head = load_head(options.judge_head);
  check_independent(head, options.judge_head, guiding);
  const FeatureSettings features = check_model(head, options.judge_head, backbone, input.model, input.allow_unbound);
  return std::make_unique<HeadJudge>(std::move(head), "the head " + options.judge_head, hash_file(options.judge_head),
                                     backbone, features, threads);
}

void check(const GeneratedEvalOptions& options, const ModelInput& input) {
  if (input.model.model.empty() || input.data.names.empty()) {
    throw Error(ErrorCode::BadUsage, "--generate writes replies, so it needs a model and prompts",
                "name them with --model and --data");
  }
  if (options.judge_head.empty() == options.judge_command.empty()) {
    throw Error(ErrorCode::BadUsage, "replies are judged by somebody who is not the guiding head",
                "name either another head, trained on other data (--judge-head), or a program (--judge-command)");
  }
}

}  // namespace

void add_generated_eval_options(CLI::App& command, GeneratedEvalOptions& options) {
  const std::vector<CLI::Option*> others = command.get_options();
  CLI::Option* const generate =
      command.add_flag("--generate", options.generate,
                       "write replies to the prompts of --data, guided and not, and have them compared by a judge");
  command.add_option("--guidance", options.guidance, "ways of guiding, separated by commas")
      ->delimiter(',')
      ->check(CLI::IsMember({"token", "bias", "branch", "sentence", "best-of-n"}))
      ->capture_default_str();
  command.add_option("--guidance-scale", options.scales, "their strengths, separated by commas")
      ->delimiter(',')
      ->capture_default_str();
  command.add_option("--judge-head", options.judge_head, "a head trained on other data")->type_name(kInput);
  command.add_option("--judge-command", options.judge_command,
                     "a program that reads {\"id\", \"prompt\", \"response\"} a line and writes "
                     "{\"score\"} a line");
  command.add_option("--judge-seconds", options.judge_seconds, "with --judge-command: that it may take a reply")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--out", options.out, "file for all judged replies, a JSON line each")->type_name(kOutput);
  command.add_option("--figure", options.figure, "an SVG of score against perplexity")->type_name(kOutput);
  command.add_option("-n,--max-tokens", options.generation.settings.max_tokens, "longest reply")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--num-candidates", options.generation.num_candidates, "as in `coala generate`")
      ->check(CLI::Range(1, 256));
  add_sampling_options(command, options.generation);
  for (CLI::Option* option : command.get_options()) {
    if (option != generate && std::ranges::find(others, option) == others.end()) option->needs(generate);
  }
}

GeneratedMetrics evaluate_generated(GeneratedEvalOptions& options, const std::string& head_path,
                                    const ModelInput& input, const CommonOptions& common, const CLI::App& command) {
  check(options, input);
  const Head head = load_head(head_path);
  std::vector<Guidance> guidances;
  for (const std::string& way : options.guidance) guidances.push_back(guidance_named(way, &head));
  std::vector<PromptRecord> records = read_prompts(input.data.files());
  const Backbone backbone(input.model.file());
  const FeatureSettings features = check_model(head, head_path, backbone, input.model, input.allow_unbound);
  const std::unique_ptr<Judge> judge = make_judge(options, head, backbone, input, chosen_threads(common));
  show_warnings(backbone, features.template_mode);
  std::vector<EncodedPrompt> prompts =
      encode_prompts(backbone, records, {features.template_mode, options.generation.thinking()}, input.data.skip_bad);

  GenerationOptions& generation = options.generation;
  generation.settings.seed = common.seed;
  complete_settings(generation, Guidance::None, command);
  bind_to_model(generation, Guidance::None, backbone, nullptr);
  const TrialSettings settings{generation.settings, guidances, options.scales,        generation.num_candidates,
                               generation.branch,   features,  chosen_threads(common)};
  GuidedTrial trial = try_guidance(backbone, head, {std::move(records), std::move(prompts)}, *judge, settings);
  if (!options.out.empty()) write_file(options.out, trial.lines);
  trial.metrics.head = head_path;
  if (!options.figure.empty()) write_file(options.figure, frontier_svg(frontier_curves(trial.metrics), judge->name()));
  return std::move(trial.metrics);
}

}  // namespace coala
