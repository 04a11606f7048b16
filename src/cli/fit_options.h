#pragma once

#include <CLI/CLI.hpp>

#include "head/fit.h"

namespace coala {

/// Adds the options of a fit (model class, loss, gates, path, Phase II), shared by `train` and `align`.
void add_fit_options(CLI::App& command, FitSettings& settings);

/// --seeds: how many runs, see train_over_seeds().
void add_seeds_option(CLI::App& command, int& seeds);

}  // namespace coala
