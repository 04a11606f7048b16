#pragma once

#include <CLI/CLI.hpp>

#include "head/fit.h"

namespace coala {

/// Adds the options of a fit (model class, loss, gates, path, Phase II), shared by `train` and `align`.
void add_fit_options(CLI::App& command, FitSettings& settings);

}  // namespace coala
