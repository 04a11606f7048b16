#pragma once

#include <CLI/CLI.hpp>
#include <array>
#include <string>

#include "cli/command.h"
#include "cli/generation_options.h"
#include "cli/model_features.h"

namespace coala {

/// Two sources of replies that are written before they are judged: by a model that a head guides, and by the model
/// alone.
struct SourceOptions {
  ModelInput input;  ///< model and prompts; without a model there are none
  std::string head;  ///< that guides
  GenerationOptions generation;
};

void add_source_options(CLI::App& command, SourceOptions& options);

/// Writes the guided and the unguided replies as `coala generate --out` does, into files beside the transcript whose
/// names end with a hash of all that the replies depend on: those that are there already are not written again.
/// @return  the paths of both
/// @throws Error{BadUsage} when head or prompts are missing
std::array<std::string, 2> write_sources(SourceOptions& options, const std::string& transcript,
                                         const CommonOptions& common, const CLI::App& command);

}  // namespace coala
