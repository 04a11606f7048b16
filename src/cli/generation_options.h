#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "decode/generator.h"
#include "decode/guidance.h"

namespace coala {

/// Options of how replies are drawn, as they are given.
struct GenerationOptions {
  GenerationSettings settings;
  std::string guidance;  ///< "": by whether there is a head
  std::string preset;
  std::optional<double> scale;  ///< absent: 1 for a token head, BranchSettings' for branches
  BranchSettings branch;
  std::optional<int> num_candidates;
  int samples = 1;
  std::vector<std::string> logit_bias;
  bool ignore_end = false;
  bool thinks = false;
  std::string grammar_file;
  // What the settings point to.
  std::unique_ptr<Grammar> grammar;
  std::unique_ptr<LogitsProcessor> tilt;

  Thinking thinking() const { return thinks ? Thinking::On : Thinking::Off; }
  double token_scale() const { return scale.value_or(1); }
};

void add_generation_options(CLI::App& command, GenerationOptions& options);
/// Of these, what concerns the drawing of tokens alone.
void add_sampling_options(CLI::App& command, GenerationOptions& options);

/// A guidance by its name on the command line, after a check that the head can guide so.
/// @throws Error{BadUsage} when it needs a token head and there is none
Guidance guidance_named(const std::string& name, const Head* head);

/// The guidance that is asked for. @throws Error{BadUsage} when options do not go together
/// @param head  null: none is given
Guidance guidance_of(const GenerationOptions& options, const CLI::App& command, const Head* head);

/// Fills what the settings take from other options than their own: before the model is loaded.
/// @throws Error{BadUsage}
void complete_settings(GenerationOptions& options, Guidance guidance, const CLI::App& command);

/// The same for what needs the model. @throws Error{BadInput} for a grammar file that is none
void bind_to_model(GenerationOptions& options, Guidance guidance, const Backbone& backbone, const Head* head);

/// Sets what a guidance by a head needs: its tilt or its branches, and the number of replies to choose from.
void set_guidance(GenerationOptions& options, Guidance guidance, const Backbone& backbone, const Head& head);

/// Whether one of several replies is kept.
bool chooses_best(const GenerationOptions& options, Guidance guidance);

/// Everything that replies depend on beside model, head and prompts.
nlohmann::ordered_json settings_fields(const GenerationOptions& options, Guidance guidance);

}  // namespace coala
