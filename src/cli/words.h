#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace coala {

/// The name that is most like a word, or begins with it; nothing when none is.
std::optional<std::string> nearest_name(std::string_view word, std::span<const std::string> names);

/// Says what a command line holds that there is not, with the nearest name that there is: a command, an option, or a
/// word that no option takes. (CLI11 complains of what is missing first, and of words in reverse order.)
/// @param words  of the command line, without the program's name
/// @throws Error{BadUsage}
void check_words(const CLI::App& app, std::span<const std::string> words);

}  // namespace coala
