#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace coala {

/// The text in lines of at most `width` characters, broken between words where that is possible. Printable.
std::vector<std::string> wrapped(std::string_view text, std::size_t width);

/// Two texts beside each other, each in half of the width.
std::string side_by_side(std::string_view left, std::string_view right, std::size_t width);

}  // namespace coala
