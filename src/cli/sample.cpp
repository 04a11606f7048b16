#include <fmt/format.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "cli/data_options.h"
#include "cli/generation_options.h"
#include "cli/model_options.h"
#include "cli/reply_output.h"
#include "core/error.h"
#include "core/progress.h"
#include "core/version.h"
#include "data/instruction.h"
#include "decode/encode_prompts.h"
#include "decode/parallel_generator.h"
#include "decode/reply_variety.h"
#include "terminal/path_kinds.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

struct SampleCommand {
  CommonOptions common;
  DataOptions data;
  ModelOptions model;
  std::string out;
  std::vector<std::string> instructions;
  GenerationOptions generation;
};

/// The record with the instruction in its prompt.
PromptRecord instructed(const PromptRecord& record, const std::string& instruction) {
  PromptRecord result = record;
  if (instruction.empty()) return result;
  try {
    result.prompt = coala::instructed(record.prompt, instruction);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("record '{}': {}", record.id, error.what()), error.hint());
  }
  return result;
}

Json origin_of(const SampleCommand& command, const BackboneIdentity& backbone, std::span<const PromptRecord> records,
               std::span<const EncodedPrompt> prompts) {
  Json origin{{"coala", kVersion},
              {"model", backbone.hash},
              {"adapter", backbone.adapter_hash + backbone.adapter_scale},
              {"data", prompts_hash(records, prompts)},
              {"instructions", command.instructions}};
  origin.update(settings_fields(command.generation, Guidance::None));
  return origin;
}

void run_sample(SampleCommand& command, const CLI::App& app) {
  set_quiet(command.common.quiet);
  if (is_written_through(command.out)) {
    throw Error(ErrorCode::BadInput, fmt::format("{} is no file: replies are put in order at the end", command.out),
                "name a file with --out");
  }
  complete_settings(command.generation, Guidance::None, app);
  GenerationSettings& settings = command.generation.settings;
  settings.seed = command.common.seed;
  std::vector<PromptRecord> records = read_prompts(command.data.files());
  const Backbone backbone(command.model.file());
  const TemplateMode mode = command.model.template_mode();
  show_warnings(backbone, mode);
  bind_to_model(command.generation, Guidance::None, backbone, nullptr);
  const PromptForm form{mode, command.generation.thinking()};
  // Those that can be answered are left; instructions come on top.
  std::vector<EncodedPrompt> prompts = encode_prompts(backbone, records, form, command.data.skip_bad);
  std::vector<std::string> ways = command.instructions;
  if (ways.empty()) ways.emplace_back();
  std::vector<PromptRecord> variants;  // each record in every way, one after the other
  for (const PromptRecord& record : records) {
    for (const std::string& instruction : ways) variants.push_back(instructed(record, instruction));
  }
  if (!command.instructions.empty()) prompts = encode_prompts(backbone, variants, form, /*skip_bad=*/false);

  const auto each = static_cast<std::size_t>(settings.replies);
  ReplyFile file(command.out, origin_of(command, backbone.identity(), variants, prompts), each);
  if (file.records() > 0) {
    log_line(fmt::format("going on after {} of {} prompts", file.records() / ways.size(), records.size()));
  }
  const SamplerOptions& sampling = settings.sampling;
  const Json said{{"temperature", sampling.temperature},
                  {"top_p", sampling.top_p},
                  {"top_k", sampling.top_k},
                  {"min_p", sampling.min_p},
                  {"max_tokens", settings.max_tokens}};
  {
    Progress progress("sampling", prompts.size() * each, "replies", file.records() * each);
    ParallelGenerator generator(backbone, settings, prompts, chosen_threads(command.common));
    generator.generate(
        [&](std::size_t i, std::vector<Reply>&& replies) {
          const PromptRecord& record = records[i / ways.size()];
          const std::string& instruction = ways[i % ways.size()];
          std::string lines;
          for (std::size_t k = 0; k < replies.size(); ++k) {
            Json line = reply_line(record, replies[k], nullptr, k, k);
            if (!instruction.empty()) line["instruction"] = instruction;
            line["seed"] = settings.seed;
            line["settings"] = said;
            lines += one_line(line);
          }
          file.write(lines);
          progress.advance(each);
        },
        file.records());
  }
  file.finish([&](std::string_view content) { return most_varied_first(content, each * ways.size()); });
  if (command.common.json) {
    print_json({{"out", command.out}, {"prompts", records.size()}, {"replies", prompts.size() * each}});
  } else {
    print_out("{}: {} replies to {} prompts, those whose replies differ the most first\n", command.out,
              prompts.size() * each, records.size());
    print_out("  coala choose --data {} --out pairs.jsonl\n", coala::quoted(command.out));
  }
}

}  // namespace

void add_sample_command(CLI::App& app) {
  auto options = std::make_shared<SampleCommand>();
  CLI::App& command =
      *app.add_subcommand("sample", "write several replies to each prompt, to choose from with `coala choose`");
  GenerationOptions& generation = options->generation;
  generation.samples = 4;
  generation.settings.sampling.temperature = 1;
  add_model_options(command, options->model, /*required=*/true);
  add_data_options(command, options->data, /*required=*/true);
  add_skip_option(command, options->data);
  command.add_option("--out", options->out, "file for the replies; what a stopped run left is gone on with")
      ->type_name(kOutput)
      ->required();
  command.add_option("--samples", generation.samples, "replies to each prompt, with each instruction")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command
      .add_option("--instruction", options->instructions,
                  "system message that replies are drawn with, and that is left out of the prompt beside them; "
                  "repeatable: two opposite ones give replies of both kinds, \"\" none")
      ->allow_extra_args(false);
  command.add_option("-n,--max-tokens", generation.settings.max_tokens, "longest reply")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add_sampling_options(command, generation);
  add_common_options(command, options->common);
  command.callback([options, &command] { run_sample(*options, command); });
}

}  // namespace coala
