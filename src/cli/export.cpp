#include <fmt/format.h>

#include <memory>
#include <string>

#include "cli/check_options.h"
#include "cli/choice.h"
#include "cli/command.h"
#include "cli/model_features.h"
#include "cli/model_options.h"
#include "core/atomic_file.h"
#include "core/error.h"
#include "core/progress.h"
#include "decode/token_export.h"

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
  double scale = 1;
  std::string out;
};

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
  if (adapter) {
    write_lora(backbone, output, change, command.out);
  } else {
    write_merged(backbone, output, change, command.out);
  }
  const std::uintmax_t bytes = std::filesystem::file_size(command.out);
  if (command.common.json) {
    print_json({{"out", command.out},
                {"format", adapter ? "lora" : "gguf"},
                {"rank", head.token->rank()},
                {"guidance_scale", command.scale},
                {"bytes", bytes}});
  } else {
    print_out("{}: {} of rank {}, {} bytes\n", command.out,
              adapter ? "an adapter on the output matrix" : "the model with a change", head.token->rank(), bytes);
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
  command.add_option("--guidance-scale", options->scale, "how strongly the head guides, as in `coala generate`")
      ->capture_default_str();
  command.add_option("--out", options->out, "file to write")->type_name(kOutput)->required();
  add_common_options(command, options->common);
  command.callback([options] { run_export(*options); });
}

}  // namespace coala
