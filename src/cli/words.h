#pragma once

#include <CLI/CLI.hpp>
#include <span>
#include <string>

namespace coala {

/// Says what a command line holds that there is not, with the nearest name that there is: a command, an option, or a
/// word that no option takes. (CLI11 complains of what is missing first, and of words in reverse order.)
/// @param words  of the command line, without the program's name
/// @throws Error{BadUsage}
void check_words(const CLI::App& app, std::span<const std::string> words);

}  // namespace coala
