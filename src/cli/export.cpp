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
#include "core/atomic_file.h"
#include "core/error.h"
#include "core/progress.h"
#include "decode/export_loss.h"
#include "decode/token_export.h"
#include "decode/token_tilt.h"

namespace coala {
namespace {

enum class ExportFormat {
  Fitting,  ///< an adapter where the model can have one, else the whole model
  Lora,
  Gguf,
};

struct ExportCommand {
  CommonOptions common;
  ModelOptions model;
  std::string head;
  bool allow_unbound = false;
  ExportFormat format = ExportFormat::Fitting;
  MergedType quantised = MergedType::Full;
  double scale = 1;
  std::string name;
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
  if (is_written_through(command.out)) {
    throw Error(ErrorCode::BadInput,
                fmt::format("{} is no file: what is exported is read again and checked", command.out),
                "name a file with --out");
  }
  const Head head = load_head(command.head);
  if (!head.token) {
    throw Error(ErrorCode::BadInput, fmt::format("{} has no token head, which is what is exported", command.head),
                "train one with `coala train --token-head` or `coala align`");
  }
  const Backbone backbone(command.model.file());
  check_model(head, command.head, backbone, command.model, command.allow_unbound);
  const OutputMatrix output(backbone);
  const OutputChange change = output_change(*head.token, output, command.scale);
  const bool adapter =
      command.format == ExportFormat::Lora || (command.format == ExportFormat::Fitting && !output.tied());
  if (adapter && command.quantised != MergedType::Full) {
    throw Error(ErrorCode::BadUsage, "an adapter is not quantised", "add --format gguf, or leave --quantise out");
  }
  const std::string name = command.name.empty() ? backbone.identity().name + " (coala)" : command.name;
  std::optional<ExportLoss> loss;
  if (adapter) {
    write_lora(backbone, output, change, name, command.out);
  } else {
    write_merged(backbone, output, change, command.quantised, name, command.out);
    const Progress progress("comparing it with the guided model");
    const TokenTilt tilt(*head.token, output, command.scale);
    loss = export_loss(backbone, tilt, Backbone{ModelFile(command.out)}, chosen_threads(command.common));
  }
  const std::uintmax_t bytes = std::filesystem::file_size(command.out);
  if (command.common.json) {
    nlohmann::ordered_json json{{"out", command.out},         {"format", adapter ? "lora" : "gguf"}, {"name", name},
                                {"rank", head.token->rank()}, {"guidance_scale", command.scale},     {"bytes", bytes}};
    if (loss) {
      json["loss"] = {{"divergence", loss->divergence}, {"same_tokens", loss->same_tokens}, {"tokens", loss->tokens}};
    }
    print_json(json);
  } else {
    print_out("{}: {} of rank {}, {} bytes\n", command.out,
              adapter ? "an adapter on the output matrix" : "the model with a change", head.token->rank(), bytes);
    if (loss) {
      print_out(
          "  compared with the guided model: {:.1f} % of {} most probable tokens are the same, {:.5f} nats per token\n",
          100 * loss->same_tokens, loss->tokens, loss->divergence);
    }
    print_out("{}", how_to_use(command, adapter));
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
      command, "--format", options->format,
      "lora: an adapter on the output matrix; gguf: the whole model, its output matrix changed; auto: lora, or gguf "
      "where the output matrix is the embedding",
      {{"auto", ExportFormat::Fitting}, {"lora", ExportFormat::Lora}, {"gguf", ExportFormat::Gguf}});
  add_choice(command, "--quantise", options->quantised,
             "of a whole model: how the output matrix is stored; none: F16, or F32 as it was",
             {{"none", MergedType::Full}, {"q8_0", MergedType::Q8_0}, {"q6_k", MergedType::Q6_K}});
  command.add_option("--name", options->name,
                     "what chat programs list the result as; default: the model's name and (coala)");
  command.add_option("--guidance-scale", options->scale, "how strongly the head guides, as in `coala generate`")
      ->capture_default_str();
  command.add_option("--out", options->out, "file to write")->type_name(kOutput)->required();
  add_common_options(command, options->common);
  command.callback([options] { run_export(*options); });
}

}  // namespace coala
