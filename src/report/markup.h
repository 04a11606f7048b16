#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace coala {

/// Text as HTML, SVG and XML all take it: markup escaped, and control characters replaced, those that turn the
/// direction of what is around them too.
std::string escape(std::string_view text);

/// 25000 as "25,000".
std::string grouped(std::uint64_t value);

/// Seconds as people read them: "0.4 ms", "12.3 s", "4 min 10 s".
std::string duration(double seconds);

}  // namespace coala
