#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "cli/command.h"
#include "cli/data_options.h"
#include "cli/model_features.h"
#include "cli/model_options.h"
#include "core/atomic_file.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/resources.h"
#include "data/prompt_reader.h"
#include "decode/parallel_generator.h"

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
  std::string guidance;  ///< "": by whether there is a head
  int num_candidates = 8;
  int samples = 1;
  bool show_candidates = false;
  GenerationSettings generation;
};

struct Totals {
  std::uint64_t replies = 0;
  std::uint64_t tokens = 0;       ///< of all candidates
  std::uint64_t above_limit = 0;  ///< candidates longer than the head's maximum length
  double seconds = 0;
};

bool chooses_best(const GenerateCommand& command) {
  return command.guidance.empty() ? !command.head.empty() : command.guidance == "best-of-n";
}

void check_usage(const GenerateCommand& command) {
  if (command.prompt.has_value() == !command.data.path.empty()) {
    throw Error(ErrorCode::BadUsage, "either --prompt or --data must be given, and not both");
  }
  if (chooses_best(command) && command.head.empty()) {
    throw Error(ErrorCode::BadUsage, "--guidance best-of-n chooses by a head's score, and there is none",
                "name a head file with --head, or use --guidance none");
  }
  if (chooses_best(command) && command.samples > 1) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("--samples {} does not go with the guidance best-of-n", command.samples),
                "add --guidance none, or use --candidates to see more than the best reply");
  }
}

std::vector<PromptRecord> gather_prompts(const GenerateCommand& command) {
  if (command.prompt) return {{"1", {{{"user", *command.prompt}}, {}}}};
  return read_prompts(command.data.path, command.data.reader());
}

/// What fails here fails before anything is generated.
std::vector<EncodedPrompt> encode_prompts(const Backbone& backbone, std::span<const PromptRecord> records,
                                          TemplateMode mode) {
  const std::size_t context = backbone.identity().context_tokens;
  std::vector<EncodedPrompt> prompts;
  for (const PromptRecord& record : records) {
    throw_if_interrupted();
    try {
      prompts.push_back(backbone.encode_prompt(record.prompt, mode));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::BadInput) throw;
      throw Error(error.code(), fmt::format("record '{}': {}", record.id, error.what()), error.hint());
    }
    const std::size_t tokens = prompts.back().tokens.size();
    if (tokens == 0) {
      throw Error(ErrorCode::BadInput, fmt::format("record '{}': the prompt has no tokens to continue", record.id),
                  "drop the record or give it a prompt; this model has no token that starts a text");
    }
    if (tokens >= context) {
      throw Error(ErrorCode::BadInput,
                  fmt::format("record '{}': the prompt has {} tokens, the context of {} is {}: no room for a reply",
                              record.id, tokens, backbone.identity().name, context),
                  "shorten the prompt, or use a model with a longer context");
    }
  }
  return prompts;
}

Json reply_fields(const Reply& reply, const Head* head) {
  Json fields{{"text", reply.text},
              {"tokens", reply.tokens.size()},
              {"finish", finish_name(reply.finish)},
              {"log_probability", reply.log_probability},
              {"log_probability_tokens", reply.log_probability_tokens}};
  if (reply.score) {
    fields["score"] = *reply.score;
    fields["probability"] = head->probability(*reply.score);
  }
  return fields;
}

Json reply_line(const std::string& id, const Reply& candidate, const Head* head, std::size_t number,
                std::size_t sample) {
  Json line{{"id", id}};
  line.update(reply_fields(candidate, head));
  line["candidate"] = number;
  line["sample"] = sample;
  return line;
}

Json candidate_list(std::span<const Reply> candidates, const Head* head) {
  Json list = Json::array();
  for (const Reply& candidate : candidates) list.push_back(reply_fields(candidate, head));
  return list;
}

std::string one_line(const Json& line) {
  return line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

/// Where replies go: a file, the object that is printed at the end, standard output.
class ReplyWriter {
 public:
  ReplyWriter(const std::string& path, bool collect) : collect_(collect) {
    if (!path.empty()) file_.emplace(path);
  }
  /// Whether replies appear on the terminal as they come, where a progress bar would be in their way.
  bool on_terminal() const { return !file_ && !collect_ && ::isatty(STDOUT_FILENO) != 0; }
  void write(Json&& line) {
    if (file_) file_->write(one_line(line));
    if (!file_ && !collect_) fmt::print("{}", one_line(line));
    if (collect_) collected_.push_back(std::move(line));
  }
  /// @return  what was collected
  Json finish() {
    if (file_) file_->commit();
    return std::move(collected_);
  }

 private:
  bool collect_;
  std::optional<AtomicFile> file_;
  Json collected_ = Json::array();
};

Json timings_of(const Totals& totals, const SessionCounts& counts) {
  return {{"seconds", totals.seconds},
          {"tokens_per_second", totals.seconds > 0 ? static_cast<double>(totals.tokens) / totals.seconds : 0},
          {"tokens", totals.tokens},
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

/// Generates replies to all prompts and writes those that were chosen.
Totals write_replies(const GenerateCommand& command, std::span<const PromptRecord> records,
                     std::span<const EncodedPrompt> prompts, std::size_t head_limit, ParallelGenerator& generator,
                     ReplyWriter& writer) {
  const bool best_of_n = chooses_best(command);
  const Head* head = command.generation.reward ? command.generation.reward->head : nullptr;
  Totals totals;
  const double start = monotonic_s();
  std::optional<Progress> progress;
  if (!writer.on_terminal()) progress.emplace("generating", prompts.size(), "prompts");
  try {
    generator.generate([&](std::size_t i, std::vector<Reply>&& candidates) {
      for (const Reply& candidate : candidates) {
        totals.tokens += candidate.tokens.size();
        const bool above = candidate.score && prompts[i].tokens.size() + candidate.tokens.size() > head_limit;
        totals.above_limit += above ? 1 : 0;
      }
      const std::size_t first = best_of_n ? best_of(candidates) : 0;
      const std::size_t last = best_of_n ? first + 1 : candidates.size();
      for (std::size_t k = first; k < last; ++k) {
        Json line = reply_line(records[i].id, candidates[k], head, k, best_of_n ? 0 : k);
        if (command.show_candidates) line["candidates"] = candidate_list(candidates, head);
        writer.write(std::move(line));
        ++totals.replies;
      }
      if (progress) progress->advance(1);
    });
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Interrupted) throw;
    throw Error(ErrorCode::Interrupted, fmt::format("stopped on request after {} replies", totals.replies),
                command.out.empty() ? "" : command.out + " was not written");
  }
  totals.seconds = monotonic_s() - start;
  return totals;
}

void run_generate(GenerateCommand& command) {
  set_quiet(command.common.quiet);
  check_usage(command);
  GenerationSettings& settings = command.generation;
  settings.seed = command.common.seed;
  settings.sampling.validate();
  settings.candidates = chooses_best(command) ? command.num_candidates : command.samples;
  std::optional<Head> head;
  if (!command.head.empty()) head = load_head(command.head);
  const std::vector<PromptRecord> records = gather_prompts(command);
  const Backbone backbone(command.model.file());
  std::size_t head_limit = backbone.identity().context_tokens;
  TemplateMode mode = TemplateMode::Model;
  if (head) {
    settings.reward = {&*head, check_model(*head, command.head, backbone, command.model.model, command.allow_unbound)};
    mode = settings.reward->features.template_mode;
    if (settings.reward->features.max_length_tokens > 0) head_limit = settings.reward->features.max_length_tokens;
  }
  const std::vector<EncodedPrompt> prompts = encode_prompts(backbone, records, mode);

  ReplyWriter writer(command.out, command.common.json);
  ParallelGenerator generator(backbone, settings, prompts, command.common.threads);
  const Totals totals = write_replies(command, records, prompts, head_limit, generator, writer);
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

void add_sampling_options(CLI::App& command, SamplerOptions& sampling) {
  command
      .add_option("--temperature", sampling.temperature, "randomness of the draw; 0: always the most probable token")
      ->capture_default_str();
  command.add_option("--top-p", sampling.top_p, "draw from the most probable tokens that have this mass; 1: all")
      ->capture_default_str();
  command.add_option("--top-k", sampling.top_k, "draw from that many most probable tokens; 0: all")
      ->capture_default_str();
  command
      .add_option("--min-p", sampling.min_p,
                  "draw from tokens at least this share as probable as the most probable one; 0: all")
      ->capture_default_str();
  command
      .add_option("--repeat-penalty", sampling.repeat_penalty,
                  fmt::format("makes the last {} tokens less probable; 1: does not", sampling.repeat_last_tokens))
      ->capture_default_str();
}

}  // namespace

void add_generate_command(CLI::App& app) {
  auto options = std::make_shared<GenerateCommand>();
  CLI::App& command =
      *app.add_subcommand("generate", "write replies to prompts, guided by a head: one JSON line for each");
  add_model_options(command, options->model, /*required=*/true);
  command.add_option("--head", options->head, "head file that scores the replies");
  command.add_flag("--allow-unbound", options->allow_unbound, "accept a head that does not say which model it is for");
  command.add_option("--prompt", options->prompt, "one prompt: what the user says");
  add_data_options(command, options->data, /*required=*/false);
  command.add_option("--out", options->out, "file for the replies, instead of standard output");
  command
      .add_option("--guidance", options->guidance,
                  "none: as the model writes; best-of-n: the candidate that the head likes best. Default: best-of-n "
                  "with --head, none without")
      ->check(CLI::IsMember({"none", "best-of-n"}));
  command.add_option("--num-candidates", options->num_candidates, "replies that best-of-n chooses from")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command.add_option("--samples", options->samples, "independent replies to each prompt, with --guidance none")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command.add_flag("--candidates", options->show_candidates, "list all candidates with their scores as well");
  command.add_option("--max-tokens", options->generation.max_tokens, "longest reply")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add_sampling_options(command, options->generation.sampling);
  add_common_options(command, options->common);
  command.callback([options] { run_generate(*options); });
}

}  // namespace coala
