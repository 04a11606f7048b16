#include "cli/model_options.h"

#include "cli/check_options.h"

#ifdef COALA_HAVE_LM
#include "core/atomic_file.h"
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
}

#ifdef COALA_HAVE_LM

ModelFile ModelOptions::file() const {
  ModelFile result{model, lora, lora_scale};
  if (!chat_template.empty() && chat_template != "model" && template_mode() == TemplateMode::Model) {
    result.chat_template = read_file(chat_template);
  }
  return result;
}

void show_warnings(const Backbone& backbone, TemplateMode mode) {
  for (const std::string& warning : backbone.warnings(mode)) log_warning(warning);
}

#endif

}  // namespace coala
