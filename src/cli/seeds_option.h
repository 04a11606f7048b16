#pragma once

#include <CLI/CLI.hpp>

namespace coala {

/// --seeds: how many runs, see train_over_seeds().
void add_seeds_option(CLI::App& command, int& seeds);

}  // namespace coala
