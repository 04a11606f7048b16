#pragma once

#include <CLI/CLI.hpp>
#include <string>
#ifdef COALA_HAVE_LM
#include <optional>

#include "lm/adapter.h"
#endif

namespace coala {

/// The model that a command runs, and an adapter to it.
struct ModelOptions {
  std::string path;
  std::string lora;
  double lora_scale = 1;
};

void add_model_options(CLI::App& command, ModelOptions& options, bool required);

#ifdef COALA_HAVE_LM
std::optional<AdapterChoice> adapter_choice(const ModelOptions& options);
#endif

}  // namespace coala
