#pragma once

#include <cstddef>
#include <string_view>

namespace coala {

/// What the lines of a request say of its body.
struct RequestHead {
  bool is_chunked = false;
};

/// Bytes of the lines with the empty one that ends them; 0 while that is not there.
/// @param begun  what has come of a request
/// @param old    bytes of it in which no end was found before
std::size_t head_bytes(std::string_view begun, std::size_t old = 0);

/// Reads the request line and the header lines as they came, and refuses what different programs would read
/// differently (RFC 9112): with one of them in front of this server, a part of a body could pass for a request. The
/// library (0.11) skips lines that it does not understand, and headers without a value.
/// @param lines  up to the empty line and with it
/// @throws RequestError
RequestHead read_head(std::string_view lines);

}  // namespace coala
