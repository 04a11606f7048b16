#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "cli/command.h"
#include "cli/data_options.h"
#include "cli/generation_options.h"
#include "cli/model_features.h"
#include "cli/model_options.h"
#include "cli/reply_output.h"
#include "core/error.h"
#include "core/progress.h"
#include "core/resources.h"
#include "data/prompt_reader.h"
#include "decode/encode_prompts.h"
#include "decode/parallel_generator.h"
#include "terminal/path_kinds.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

struct GenerateCommand {
  CommonOptions common;
  DataOptions data;
  ModelOptions model;
  std::string head;
  bool allow_unbound = false;
  std::optional<std::string> prompt;
  std::string out;
  bool show_candidates = false;
  GenerationOptions generation;
  Guidance guidance = Guidance::None;

  bool chooses_best() const { return coala::chooses_best(generation, guidance); }
  /// Whether the reply goes to the terminal as text, as it is written where only one is.
  bool writes_text() const {
    const bool one_reply = chooses_best() || generation.samples == 1;
    return prompt && one_reply && !show_candidates && !common.json && out.empty() && ::isatty(STDOUT_FILENO) != 0;
  }
};

struct Totals {
  std::uint64_t replies = 0;
  std::uint64_t tokens = 0;        ///< of all replies
  std::uint64_t guided_steps = 0;  ///< of these
  std::uint64_t above_limit = 0;   ///< replies longer than the head's maximum length
  double seconds = 0;
};

std::vector<PromptRecord> gather_prompts(const GenerateCommand& command) {
  if (command.prompt) return {{"1", {{{"user", *command.prompt}}, {}}}};
  return read_prompts(command.data.files());
}

Json timings_of(const Totals& totals, const SessionCounts& counts) {
  return {{"seconds", totals.seconds},
          {"tokens_per_second", totals.seconds > 0 ? static_cast<double>(totals.tokens) / totals.seconds : 0},
          {"tokens", totals.tokens},
          {"guided_steps", totals.guided_steps},
          {"decodes", counts.decodes},
          {"evaluated_rows", counts.rows}};
}

/// As evaluation_flops(), and the output matrix, which generation needs and extraction does not.
Json flops_of(const BackboneIdentity& backbone, const SessionCounts& counts) {
  FeatureCounts evaluated;
  evaluated.evaluated_tokens = counts.rows;
  evaluated.attention_pairs = counts.attention_pairs;
  const double body = evaluation_flops(backbone, evaluated);
  const double output = 2.0 * static_cast<double>(counts.output_rows) * static_cast<double>(backbone.vocabulary) *
                        static_cast<double>(backbone.dimension);
  return {{"states", body}, {"output", output}, {"total", body + output}};
}

/// What an output file depends on.
Json origin_of(const GenerateCommand& command, const BackboneIdentity& backbone, std::span<const PromptRecord> records,
               std::span<const EncodedPrompt> prompts) {
  Json origin = reply_origin(command.generation, command.guidance, command.head, backbone, records, prompts);
  origin["shows_candidates"] = command.show_candidates;
  return origin;
}

/// The lines of a record: the chosen reply, or all samples.
std::vector<Json> lines_of(const GenerateCommand& command, const PromptRecord& record, std::span<const Reply> replies,
                           std::size_t first, std::size_t last) {
  const auto& reward = command.generation.settings.reward;
  const Head* head = reward ? reward->head : nullptr;
  std::vector<Json> lines;
  for (std::size_t k = first; k < last; ++k) {
    lines.push_back(reply_line(record, replies[k], head, k, command.chooses_best() ? 0 : k));
    if (command.show_candidates) lines.back()["candidates"] = candidate_list(replies, head);
  }
  return lines;
}

/// Generates replies to all prompts and writes those that were chosen.
Totals write_replies(const GenerateCommand& command, const Backbone& backbone, std::span<const PromptRecord> records,
                     std::span<const EncodedPrompt> prompts, std::size_t head_limit, ParallelGenerator& generator,
                     ReplyWriter& writer) {
  Totals totals;
  const double start = monotonic_s();
  std::optional<Progress> progress;
  const bool lines_on_terminal = command.out.empty() && !command.common.json && ::isatty(STDOUT_FILENO) != 0;
  if (!lines_on_terminal) progress.emplace("generating", prompts.size(), "prompts", writer.records());
  try {
    generator.generate(
        [&](std::size_t i, std::vector<Reply>&& replies) {
          for (std::size_t k = 0; k < replies.size(); ++k) {
            const Reply& reply = replies[k];
            totals.tokens += reply.tokens.size();
            totals.guided_steps += reply.guided_steps;
            const bool above = reply.score && prompts[i].tokens.size() + reply.tokens.size() > head_limit;
            totals.above_limit += above ? 1 : 0;
            print_trace(records[i].id, k, reply, backbone.tokenizer());
          }
          const std::size_t first = command.chooses_best() ? best_of(replies) : 0;
          const std::size_t last = command.chooses_best() ? first + 1 : replies.size();
          totals.replies += last - first;
          if (!command.writes_text()) {
            writer.write(lines_of(command, records[i], replies, first, last));
          } else {
            print_text((command.generation.settings.on_text ? "" : replies[first].text) + "\n");
            if (replies[first].finish == Finish::Length) {
              log_line(fmt::format("the reply was cut at {} tokens; --max-tokens writes more",
                                   replies[first].tokens.size()));
            }
          }
          if (progress) progress->advance(1);
        },
        writer.records());
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Interrupted) throw;
    throw Error(ErrorCode::Interrupted, fmt::format("stopped on request after {} replies", totals.replies),
                command.out.empty() ? "" : "the same command goes on where it was");
  }
  totals.seconds = monotonic_s() - start;
  return totals;
}

void run_generate(GenerateCommand& command, const CLI::App& app) {
  set_quiet(command.common.quiet);
  if (command.prompt.has_value() == !command.data.names.empty()) {
    throw Error(ErrorCode::BadUsage, "either --prompt or --data must be given, and not both");
  }
  std::optional<Head> head;
  if (!command.head.empty()) head = load_head(command.head);
  command.guidance = guidance_of(command.generation, app, head ? &*head : nullptr);
  complete_settings(command.generation, command.guidance, app);
  GenerationSettings& settings = command.generation.settings;
  settings.seed = command.common.seed;
  std::vector<PromptRecord> records = gather_prompts(command);
  const Backbone backbone(command.model.file());
  std::size_t head_limit = backbone.identity().context_tokens;
  TemplateMode mode = command.model.template_mode();
  if (head) {
    settings.reward = {&*head, check_model(*head, command.head, backbone, command.model, command.allow_unbound)};
    mode = settings.reward->features.template_mode;
    if (settings.reward->features.max_length_tokens > 0) head_limit = settings.reward->features.max_length_tokens;
    // The published program guides by the mean over all tokens, whatever its head was trained with.
    if (!command.generation.preset.empty()) settings.reward->features.over = PoolOver::All;
  }
  show_warnings(backbone, mode);
  bind_to_model(command.generation, command.guidance, backbone, head ? &*head : nullptr);
  // What may still be dropped is not shown.
  const bool as_written = !command.chooses_best() && command.guidance != Guidance::Sentence;
  if (command.writes_text() && as_written) settings.on_text = print_text;
  const std::vector<EncodedPrompt> prompts =
      encode_prompts(backbone, records, {mode, command.generation.thinking()}, command.data.skip_bad);

  ParallelGenerator generator(backbone, settings, prompts, chosen_threads(command.common));
  ReplyWriter writer(command.common.json);
  if (!command.out.empty()) {
    const auto lines = static_cast<std::size_t>(command.chooses_best() ? 1 : settings.replies);
    writer.open(command.out, origin_of(command, backbone.identity(), records, prompts), lines);
  }
  if (writer.records() > 0) log_line(fmt::format("going on after {} of {} prompts", writer.records(), prompts.size()));
  const Totals totals = write_replies(command, backbone, records, prompts, head_limit, generator, writer);
  Json replies = writer.finish();
  if (totals.above_limit > 0) {
    log_warning(
        fmt::format("{} of the scored texts are longer than the {} tokens that the head was trained with; "
                    "`coala score` would cut them",
                    totals.above_limit, head_limit));
  }
  const SessionCounts counts = generator.counts();
  const Json timings = timings_of(totals, counts);
  log_line(fmt::format("{} tokens in {:.2f} s ({:.0f}/s), {} decodes of {} rows", totals.tokens, totals.seconds,
                       timings.at("tokens_per_second").get<double>(), counts.decodes, counts.rows));
  if (command.common.json) {
    print_json(
        {{"replies", std::move(replies)}, {"timings", timings}, {"flops", flops_of(backbone.identity(), counts)}});
  }
}

}  // namespace

void add_generate_command(CLI::App& app) {
  auto options = std::make_shared<GenerateCommand>();
  CLI::App& command =
      *app.add_subcommand("generate", "write replies to prompts, guided by a head: one JSON line for each");
  add_model_options(command, options->model, /*required=*/true);
  command.add_option("--head", options->head, "head file that scores the replies")->type_name(kInput);
  command.add_flag("--allow-unbound", options->allow_unbound, "accept a head that does not say which model it is for");
  command.add_option("-p,--prompt", options->prompt, "one prompt: what the user says");
  add_data_options(command, options->data, /*required=*/false);
  add_skip_option(command, options->data);
  command
      .add_option("--out", options->out,
                  "file for the replies, instead of standard output; what a stopped run left is gone on with")
      ->type_name(kOutput);
  command.add_flag("--candidates", options->show_candidates, "list all candidates with their scores as well");
  command.add_flag("--trace", options->generation.settings.trace,
                   "every token with its probability, and with its score where it was guided, on standard error");
  add_generation_options(command, options->generation);
  add_common_options(command, options->common);
  command.callback([options, &command] { run_generate(*options, command); });
}

}  // namespace coala
