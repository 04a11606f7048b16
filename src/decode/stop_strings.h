#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace coala {

/// Where the first of the strings begins in the text; npos when none is in it.
std::size_t find_stop(std::string_view text, std::span<const std::string> stops);

/// How many bytes at the text's end are a U+FFFD, which may be the beginning of a character whose other bytes are in
/// the next token.
std::size_t broken_bytes(std::string_view text);

/// How many bytes at the text's end may still change or vanish as it goes on: the beginning of a stop string, and those
/// of a broken character.
std::size_t unsettled_bytes(std::string_view text, std::span<const std::string> stops);

}  // namespace coala
