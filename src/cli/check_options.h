#pragma once

#include <CLI/CLI.hpp>

namespace coala {

/// What no command may be asked for: a path without a name (a variable that is not set is no request to go without), an
/// output that is an input or another output, a number that is none. Says which outputs are there and will be replaced.
/// @throws Error{BadUsage}
void check_options(const CLI::App& command);

}  // namespace coala
