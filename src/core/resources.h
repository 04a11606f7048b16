#pragma once

#include <cstdint>

namespace coala {

/// Largest resident memory of this process so far, in bytes.
std::uint64_t peak_rss_bytes() noexcept;

/// Seconds of a clock that never goes back; only differences mean something.
double monotonic_s() noexcept;

}  // namespace coala
