#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>

#include "features/feature_set.h"
#include "head/head.h"

namespace coala {

/// A model and the data to run through it.
struct ModelInput {
  std::string model;
  std::string data;
};

void add_model_input_options(CLI::App& command, ModelInput& input, bool required);

/// Features of the data as the head needs them: its pooling, template use and maximum length, after checking that the
/// model is the head's.
/// @throws Error{NotBuilt} in a build without the language-model part
FeatureSet features_for_head(const Head& head, const std::filesystem::path& head_path, const ModelInput& input,
                             bool allow_unbound, int threads);

}  // namespace coala
