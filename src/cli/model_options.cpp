#include "cli/model_options.h"

namespace coala {

void add_model_options(CLI::App& command, ModelOptions& options, bool required) {
  CLI::Option* model = command.add_option("--model", options.path, "model (GGUF)")->required(required);
  CLI::Option* lora =
      command.add_option("--lora", options.lora, "LoRA adapter (GGUF) to apply to the model")->needs(model);
  command.add_option("--lora-scale", options.lora_scale, "how much of the adapter; 0: as without it")
      ->needs(lora)
      ->capture_default_str();
}

#ifdef COALA_HAVE_LM
std::optional<AdapterChoice> adapter_choice(const ModelOptions& options) {
  if (options.lora.empty()) return std::nullopt;
  return AdapterChoice{options.lora, options.lora_scale};
}
#endif

}  // namespace coala
