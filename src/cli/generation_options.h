#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "decode/generator.h"

namespace coala {

/// How the head takes part in writing.
enum class Guidance { None, BestOfN, Branch };

/// Options of how replies are drawn, as they are given.
struct GenerationOptions {
  GenerationSettings settings;
  std::string guidance;  ///< "": by whether there is a head
  std::string preset;
  BranchSettings branch;
  std::optional<int> num_candidates;
  int samples = 1;
  std::vector<std::string> logit_bias;
  bool ignore_end = false;
  std::string grammar_file;
  std::unique_ptr<Grammar> grammar;  ///< that settings point to
};

void add_generation_options(CLI::App& command, GenerationOptions& options);

/// The guidance that is asked for. @throws Error{BadUsage} when options do not go together
Guidance guidance_of(const GenerationOptions& options, const CLI::App& command, bool has_head);

/// Fills what the settings take from other options than their own: before the model is loaded.
/// @throws Error{BadUsage}
void complete_settings(GenerationOptions& options, Guidance guidance, const CLI::App& command);

/// The same for what needs the model. @throws Error{BadInput} for a grammar file that is none
void bind_to_model(GenerationOptions& options, const Backbone& backbone);

/// Everything that replies depend on beside model, head and prompts.
nlohmann::ordered_json settings_fields(const GenerationOptions& options, Guidance guidance);

}  // namespace coala
