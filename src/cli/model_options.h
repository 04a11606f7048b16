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

#ifdef COALA_HAVE_LM
  ModelFile file() const {
    return {model, lora, lora_scale};
  }
#endif
};

/// Adds --model, --lora and --lora-scale.
void add_model_options(CLI::App& command, ModelOptions& options, bool required);

}  // namespace coala
