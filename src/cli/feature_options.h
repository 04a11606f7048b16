#pragma once

#include <CLI/CLI.hpp>

#include "extract/feature_extractor.h"

namespace coala {

/// Adds the options that decide what a feature is (pooling, layers, length), shared by `extract` and `align`.
void add_feature_options(CLI::App& command, FeatureSettings& settings);

}  // namespace coala
