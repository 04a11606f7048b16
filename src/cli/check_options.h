#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace coala {

/// Type names that say what a path is for. Every option that takes one is marked, in the help as well, and
/// check_options() goes by the marks.
inline constexpr const char* kInput = "INPUT";    ///< a file, or a folder of files, that is read
inline constexpr const char* kData = "DATA";      ///< what find_data_files() knows: files, a folder, a pattern
inline constexpr const char* kOutput = "OUTPUT";  ///< a file or folder that is written

/// What no command may be asked for: a path without a name (a variable that is not set is no request to go without), an
/// output that is an input or another output, a number that is none. Says which outputs are there and will be replaced.
/// @throws Error{BadUsage}
void check_options(const CLI::App& command);

}  // namespace coala
