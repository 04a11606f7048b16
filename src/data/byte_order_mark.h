#pragma once

#include <string_view>

namespace coala {

/// What some programs put in front of a text in UTF-8.
inline constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

}  // namespace coala
