#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/generation_options.h"
#include "cli/model_features.h"
#include "eval/generated_metrics.h"

namespace coala {

/// Options of `coala eval --generate`.
struct GeneratedEvalOptions {
  bool generate = false;
  std::vector<std::string> guidance{"token", "bias"};
  std::vector<double> scales{0.5, 1, 2};
  std::string judge_head;
  std::string judge_command;
  double judge_seconds = 60;
  std::string figure;
  std::string out;
  GenerationOptions generation;
};

void add_generated_eval_options(CLI::App& command, GeneratedEvalOptions& options);

/// Writes replies to the data's prompts with and without guidance, same prompts and seeds, and lets a judge that is not
/// the guiding head compare them.
GeneratedMetrics evaluate_generated(GeneratedEvalOptions& options, const std::string& head_path,
                                    const ModelInput& input, const CommonOptions& common, const CLI::App& command);

}  // namespace coala
