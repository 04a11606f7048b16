#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace coala {

/// Puts prompts first whose replies differ the most: of the pairs of neighbouring words in them, most are different.
/// All replies to a prompt stay together.
/// @param lines  as reply_line() makes them, each with its line break
/// @param each   lines of a prompt
std::string most_varied_first(std::string_view lines, std::size_t each);

}  // namespace coala
