#pragma once

#include <CLI/CLI.hpp>
#include <string>
#ifdef COALA_HAVE_LM
#include "lm/backbone.h"
#endif

namespace coala {

/// A model as it is named on the command line.
struct ModelOptions {
  std::string model;
  std::string lora;
  double lora_scale = 1;
  std::string chat_template;  ///< "model", "raw" or a file; "": as a head says, else "model"
  std::string device = "auto";
  std::string gpu_layers = "all";  ///< or a number

#ifdef COALA_HAVE_LM
  /// @throws Error{BadInput} when the template's file cannot be read, Error{BadUsage} for layers that are no number
  ModelFile file() const;
  TemplateMode template_mode() const {
    return parse_template_mode(chat_template);
  }
#endif
};

/// Adds --model, --lora, --lora-scale, --template, --device and --gpu-layers.
void add_model_options(CLI::App& command, ModelOptions& options, bool required);

#ifdef COALA_HAVE_LM
/// Shows what the user should know of the model.
void show_warnings(const Backbone& backbone, TemplateMode mode);
#endif

}  // namespace coala
