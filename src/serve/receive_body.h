#pragma once

#include <httplib.h>

#include <cstddef>
#include <string>

namespace coala {

constexpr std::size_t kLargestBody_bytes = std::size_t{8} << 20;

/// A request's body, however it is sent: the library limits only the length that a client announces.
/// @throws RequestError when it is too large, cut off, or too slow
std::string receive_body(const httplib::Request& request, const httplib::Response& response,
                         const httplib::ContentReader& read);

}  // namespace coala
