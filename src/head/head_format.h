#pragma once

#include <string_view>

namespace coala {

/// "coala.format" of the head files that this program writes and reads.
inline constexpr std::string_view kHeadFormat = "head-1";

}  // namespace coala
