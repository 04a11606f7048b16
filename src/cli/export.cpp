#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "cli/command.h"
#include "cli/model_features.h"
#include "cli/model_options.h"
#include "core/byte_text.h"
#include "core/progress.h"
#include "core/utf8.h"
#include "decode/export_head.h"
#include "terminal/choice.h"
#include "terminal/path_kinds.h"
#include "terminal/setting_options.h"

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

/// For people; of the decimal units that file managers show.
std::string size_for_people(std::uint64_t bytes) {
  const auto size = static_cast<double>(bytes);
  if (bytes >= 1'000'000'000) return fmt::format("{:.2f} GB", size / 1e9);
  if (bytes >= 1'000'000) return in_megabytes(bytes);
  return fmt::format("{:.1f} kB", size / 1e3);
}

/// A name that Ollama takes: the file's in lower case, with dashes for what is no letter, digit, dot, dash or
/// underscore, a letter or digit first, and no longer than Ollama's names may be.
std::string ollama_name(const std::string& file) {
  constexpr std::size_t kLongest = 80;
  std::string name;
  for (const char c : std::filesystem::path(file).stem().string()) {
    const bool other = c == '.' || c == '-' || c == '_';
    if (is_letter_or_digit(c)) {
      name += lower_case(c);
    } else if (!name.empty() && (other || name.back() != '-')) {
      name += other ? c : '-';
    }
  }
  name.resize(std::min(name.find_last_not_of('-') + 1, kLongest));
  return name.empty() ? "aligned" : name;
}

std::string absolute(const std::string& path) {
  return quoted(std::filesystem::absolute(path).lexically_normal().string());
}

/// What Ollama makes a model of. @param layers  lines of its Modelfile, each with a %s for one of the files
std::string ollama_line(const std::string& layers, const std::string& files, const std::string& name) {
  return fmt::format("  printf '{0}' {1} > Modelfile && ollama create {2} -f Modelfile && ollama run {2}\n", layers,
                     files, name);
}

/// What to type to use the file in the programs that people chat with.
std::string how_to_use(const ExportCommand& command, bool adapter) {
  const std::string file = quoted(command.out);
  const std::string name = ollama_name(command.out);
  const auto llama_lines = [](const std::string& files) {
    return fmt::format("  llama-cli {0}\n  llama-server {0}\n", files);
  };
  if (!adapter) {
    return llama_lines("-m " + file) + ollama_line("FROM %s\\n", absolute(command.out), name) +
           fmt::format("  lms import {}\n", file);
  }
  const ModelOptions& model = command.model;
  std::string files = fmt::format("-m {} --lora {}", quoted(model.model), file);
  if (!model.lora.empty()) {  // the head is for the model with it
    files += model.lora_scale == 1
                 ? fmt::format(" --lora {}", quoted(model.lora))
                 : fmt::format(" --lora-scaled {}", quoted(fmt::format("{}:{}", model.lora, model.lora_scale)));
    return llama_lines(files) + "Ollama and LM Studio take no two adapters.\n";
  }
  return llama_lines(files) +
         ollama_line("FROM %s\\nADAPTER %s\\n", absolute(model.model) + " " + absolute(command.out), name) +
         "LM Studio takes no adapter, and Ollama from 0.34.1 on makes no new model with one: use --format gguf for "
         "them.\n";
}

/// What there is to say of what was asked for, before the work.
void comment(const HeadExport& settings) {
  if (settings.format == ExportFormat::Fitting && settings.quantised != MergedType::Full) {
    log_line("--quantise is of a whole model, so --format gguf is taken");
  }
  if (settings.scale == 0) {
    log_warning("at --guidance-scale 0 the head does nothing: the model is written as it is");
  } else if (settings.scale < 0) {
    log_warning(fmt::format("at --guidance-scale {} the model turns away from what was preferred", settings.scale));
  } else if (settings.scale > 1) {
    log_warning(
        fmt::format("--guidance-scale {} is beyond 1, which `coala align` finds right for a head: what is written may "
                    "repeat itself or break; `coala eval --generate` shows it",
                    settings.scale));
  }
}

void run_export(const ExportCommand& command) {
  set_quiet(command.common.quiet);
  comment(command.settings);
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
    print_out("{}: {} of rank {}, {} ({} bytes)\n", command.out,
              result.adapter ? "an adapter on the output matrix" : "the model with a change", result.rank,
              size_for_people(result.bytes), result.bytes);
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
      "where the output matrix is the embedding, or with --quantise",
      values_by_name<ExportFormat>());
  add_choice(command, "--quantise", options->settings.quantised,
             "of a whole model: how the output matrix is stored; none: F16, or F32 as it was",
             values_by_name<MergedType>());
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
