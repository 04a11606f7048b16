#pragma once

#include <cstdint>
#include <string>

namespace coala {

/// Bytes for people: "12.3 MB", of a million each.
std::string in_megabytes(std::uint64_t bytes);

}  // namespace coala
