#include "cli/model_options.h"

namespace coala {

void add_model_options(CLI::App& command, ModelOptions& options, bool required) {
  CLI::Option* model = command.add_option("--model", options.model, "model (GGUF)")->required(required);
  CLI::Option* lora =
      command.add_option("--lora", options.lora, "LoRA adapter (GGUF) that becomes part of the model")->needs(model);
  command.add_option("--lora-scale", options.lora_scale, "factor of the adapter's weights")
      ->capture_default_str()
      ->needs(lora);
}

}  // namespace coala
