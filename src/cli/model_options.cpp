#include "cli/model_options.h"

#include "terminal/path_kinds.h"

#ifdef COALA_HAVE_LM
#include <fmt/format.h>

#include <charconv>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/progress.h"
#endif

namespace coala {

void add_model_options(CLI::App& command, ModelOptions& options, bool required) {
  CLI::Option* model =
      command.add_option("-m,--model", options.model, "model (GGUF)")->type_name(kInput)->required(required);
  CLI::Option* lora = command.add_option("--lora", options.lora, "LoRA adapter (GGUF) that becomes part of the model")
                          ->type_name(kInput)
                          ->needs(model);
  command.add_option("--lora-scale", options.lora_scale, "factor of the adapter's weights")
      ->capture_default_str()
      ->needs(lora);
  command
      .add_option(
          "--template", options.chat_template,
          "how messages become text: model (the model's chat template), raw (their contents, a line break after "
          "each), none (their contents word for word), parsed (the same of texts that carry a template already: "
          "their control tokens are read as such), or a file with a Jinja template; default: as --head was "
          "trained, else model")
      ->type_name(kInput)
      ->needs(model);
  command
      .add_option("--device", options.device,
                  "what evaluates the model: cpu, a device that `coala devices` lists (vulkan:0), or auto: the first "
                  "that is hardware, else the CPU")
      ->capture_default_str()
      ->needs(model);
  command
      .add_option("--gpu-layers", options.gpu_layers,
                  "how many of the model's last layers are on the device, the output matrix first; all, or a number")
      ->capture_default_str()
      ->needs(model);
}

#ifdef COALA_HAVE_LM
namespace {

DeviceChoice device_choice(const ModelOptions& options) {
  DeviceChoice choice{.device = options.device};
  if (options.gpu_layers == "all") return choice;
  std::size_t count = 0;
  const char* const end = options.gpu_layers.data() + options.gpu_layers.size();
  const auto parsed = std::from_chars(options.gpu_layers.data(), end, count);
  if (parsed.ec != std::errc() || parsed.ptr != end) {
    throw Error(ErrorCode::BadUsage, fmt::format("--gpu-layers is '{}'", options.gpu_layers), "use all, or a number");
  }
  choice.layers = count;
  return choice;
}

}  // namespace

ModelFile ModelOptions::file() const {
  ModelFile result{model, lora, lora_scale};
  if (!chat_template.empty() && chat_template != "model" && template_mode() == TemplateMode::Model) {
    result.chat_template = read_file(chat_template);
  }
  result.device = device_choice(*this);
  return result;
}

void show_warnings(const Backbone& backbone, TemplateMode mode) {
  for (const std::string& warning : backbone.warnings(mode)) log_warning(warning);
}

#endif

}  // namespace coala
