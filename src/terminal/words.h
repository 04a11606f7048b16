#pragma once

#include <CLI/CLI.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coala {

/// The names that are most like a word, or begin alike; none when none is.
std::vector<std::string> nearest_names(std::string_view word, std::span<const std::string> names);

/// The words with a request for help as the parser knows it: `help`, `help COMMAND` and `COMMAND help`.
std::vector<std::string> with_help(const CLI::App& app, std::vector<std::string> words);

/// Says what a command line holds that there is not, with the nearest names that there are, or what others' name
/// for it is here: a command, an option, or a word that no option takes. (CLI11 complains of what is missing first, and
/// of words in reverse order.)
/// @param words  of the command line, without the program's name
/// @throws Error{BadUsage}
void check_words(const CLI::App& app, std::span<const std::string> words);

}  // namespace coala
