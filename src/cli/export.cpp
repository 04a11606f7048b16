#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "cli/check_options.h"
#include "cli/choice.h"
#include "cli/command.h"
#include "cli/model_features.h"
#include "cli/model_options.h"
#include "core/progress.h"
#include "decode/export_head.h"

namespace coala {
namespace {

struct ExportCommand {
  CommonOptions common;
  ModelOptions model;
  std::string head;
  bool allow_unbound = false;
  HeadExport settings;
  std::string out;
};

/// What to type to use the file in the programs that people chat with.
std::string how_to_use(const ExportCommand& command, bool adapter) {
  const std::string file = quoted(command.out);
  if (adapter) return fmt::format("  llama-server -m {} --lora {}\n", quoted(command.model.model), file);
  const std::string short_name = std::filesystem::path(command.out).stem().string();
  return fmt::format(
      "  llama-server -m {0}\n"
      "  printf 'FROM %s\\n' {1} > Modelfile && ollama create {2} -f Modelfile && ollama run {2}\n"
      "  lms import {0}\n",
      file, quoted(std::filesystem::absolute(command.out).string()), quoted(short_name));
}

void run_export(const ExportCommand& command) {
  set_quiet(command.common.quiet);
  const Head head = load_head(command.head);
  const Backbone backbone(command.model.file());
  check_model(head, command.head, backbone, command.model, command.allow_unbound);
  const ExportedHead result =
      export_head(head, command.head, backbone, command.settings, command.out, chosen_threads(command.common));
  if (command.common.json) {
    nlohmann::ordered_json json{
        {"out", command.out},  {"format", result.adapter ? "lora" : "gguf"}, {"name", result.name},
        {"rank", result.rank}, {"guidance_scale", command.settings.scale},   {"bytes", result.bytes}};
    if (const auto& loss = result.loss) {
      json["loss"] = {{"divergence", loss->divergence}, {"same_tokens", loss->same_tokens}, {"tokens", loss->tokens}};
    }
    print_json(json);
  } else {
    print_out("{}: {} of rank {}, {} bytes\n", command.out,
              result.adapter ? "an adapter on the output matrix" : "the model with a change", result.rank,
              result.bytes);
    if (const auto& loss = result.loss) {
      print_out(
          "  compared with the guided model: {:.1f} % of {} most probable tokens are the same, {:.5f} nats per token\n",
          100 * loss->same_tokens, loss->tokens, loss->divergence);
    }
    print_out("{}", how_to_use(command, result.adapter));
  }
}

}  // namespace

void add_export_command(CLI::App& app) {
  auto options = std::make_shared<ExportCommand>();
  CLI::App& command = *app.add_subcommand(
      "export", "write the token head as a LoRA adapter or a merged model that every llama.cpp program runs");
  add_model_options(command, options->model, /*required=*/true);
  command.add_option("--head", options->head, "head file with a token head")->type_name(kInput)->required();
  command.add_flag("--allow-unbound", options->allow_unbound, "accept a head that does not say which model it is for");
  add_choice(
      command, "--format", options->settings.format,
      "lora: an adapter on the output matrix; gguf: the whole model, its output matrix changed; auto: lora, or gguf "
      "where the output matrix is the embedding",
      {{"auto", ExportFormat::Fitting}, {"lora", ExportFormat::Lora}, {"gguf", ExportFormat::Gguf}});
  add_choice(command, "--quantise", options->settings.quantised,
             "of a whole model: how the output matrix is stored; none: F16, or F32 as it was",
             {{"none", MergedType::Full}, {"q8_0", MergedType::Q8_0}, {"q6_k", MergedType::Q6_K}});
  command.add_option("--name", options->settings.name,
                     "what chat programs list the result as; default: the model's name and (coala)");
  command
      .add_option("--guidance-scale", options->settings.scale, "how strongly the head guides, as in `coala generate`")
      ->capture_default_str();
  command.add_option("--out", options->out, "file to write")->type_name(kOutput)->required();
  add_common_options(command, options->common);
  command.callback([options] { run_export(*options); });
}

}  // namespace coala
