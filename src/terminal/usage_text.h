#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace coala {

/// What is wrong with a command line, in words: which option, what was found and what is possible.
/// @param command  whose options they are; null: not known
std::string usage_text(const CLI::ParseError& error, const CLI::App* command);

}  // namespace coala
