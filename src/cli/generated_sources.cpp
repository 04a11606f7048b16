#include "cli/generated_sources.h"

#include <fmt/format.h>

#include <filesystem>
#include <span>
#include <vector>

#include "cli/reply_output.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/progress.h"
#include "decode/encode_prompts.h"
#include "decode/parallel_generator.h"
#include "terminal/path_kinds.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

/// What both sources are written with.
struct Writing {
  const Backbone& backbone;
  std::span<const PromptRecord> records;
  std::span<const EncodedPrompt> prompts;
  std::string transcript;
  int threads;
};

/// @param head_path  "": no head guides
std::string write_source(const Writing& writing, const std::string& name, const GenerationOptions& generation,
                         Guidance guidance, const std::string& head_path) {
  const GenerationSettings& settings = generation.settings;
  const Json origin =
      reply_origin(generation, guidance, head_path, writing.backbone.identity(), writing.records, writing.prompts);
  constexpr std::size_t kShortHash = 12;
  const std::string hash = hash_text(origin.dump()).substr(0, kShortHash);
  std::filesystem::path path = writing.transcript;
  path.replace_extension();
  path += fmt::format(".{}-{}.jsonl", name, hash);
  if (std::filesystem::is_regular_file(path)) {
    log_line(fmt::format("{} has the {} replies already", path.string(), name));
    return path.string();
  }
  const bool best = chooses_best(generation, guidance);
  const Head* const head = settings.reward ? settings.reward->head : nullptr;
  ReplyWriter writer(/*collect=*/false);
  writer.open(path.string(), origin, best ? 1 : static_cast<std::size_t>(settings.replies));
  ParallelGenerator generator(writing.backbone, settings, writing.prompts, writing.threads);
  Progress progress(name, writing.prompts.size(), "prompts", writer.records());
  generator.generate(
      [&](std::size_t i, std::vector<Reply>&& replies) {
        const std::size_t first = best ? best_of(replies) : 0;
        const std::size_t last = best ? first + 1 : replies.size();
        std::vector<Json> lines;
        for (std::size_t k = first; k < last; ++k) {
          lines.push_back(reply_line(writing.records[i], replies[k], head, k, best ? 0 : k));
        }
        writer.write(std::move(lines));
        progress.advance(1);
      },
      writer.records());
  writer.finish();
  log_line(fmt::format("{} replies: {}", name, path.string()));
  return path.string();
}

}  // namespace

void add_source_options(CLI::App& command, SourceOptions& options) {
  add_model_input_options(command, options.input, /*model_required=*/false, /*data_required=*/false);
  command
      .add_option("--head", options.head,
                  "with --model and --data: head that guides the replies that are asked about; those that they are "
                  "compared with are the model's own")
      ->type_name(kInput);
  add_generation_options(command, options.generation);
}

std::array<std::string, 2> write_sources(SourceOptions& options, const std::string& transcript,
                                         const CommonOptions& common, const CLI::App& command) {
  if (options.head.empty() || options.input.data.names.empty()) {
    throw Error(ErrorCode::BadUsage, "--model writes replies to prompts, guided by a head and not",
                "name the prompts with --data and the head with --head");
  }
  const Head head = load_head(options.head);
  GenerationOptions& generation = options.generation;
  const Guidance guidance = guidance_of(generation, command, &head);
  if (guidance == Guidance::None) {
    throw Error(ErrorCode::BadUsage, "--guidance none compares the model with itself", "leave it out");
  }
  complete_settings(generation, guidance, command);
  generation.settings.seed = common.seed;
  std::vector<PromptRecord> records = read_prompts(options.input.data.files());
  const Backbone backbone(options.input.model.file());
  const FeatureSettings features =
      check_model(head, options.head, backbone, options.input.model, options.input.allow_unbound);
  show_warnings(backbone, features.template_mode);
  bind_to_model(generation, guidance, backbone, nullptr);
  const std::vector<EncodedPrompt> prompts =
      encode_prompts(backbone, records, {features.template_mode, generation.thinking()}, options.input.data.skip_bad);
  const Writing writing{backbone, records, prompts, transcript, chosen_threads(common)};
  const std::string unguided = write_source(writing, "unguided", generation, Guidance::None, "");
  generation.settings.reward = {&head, features};
  if (!generation.preset.empty()) generation.settings.reward->features.over = PoolOver::All;
  set_guidance(generation, guidance, backbone, head);
  return {write_source(writing, "guided", generation, guidance, options.head), unguided};
}

}  // namespace coala
