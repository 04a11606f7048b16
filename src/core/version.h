#pragma once

namespace coala {

/// Version of the program; part of every file that it writes.
inline constexpr const char* kVersion = "0.1.0";

}  // namespace coala
