#pragma once

#include <string_view>

namespace coala {

/// What a connection of a broken request is told: an error in OpenAI's shape, written past the library, which answers
/// such requests in its own way. A client that does not take it at once goes without.
/// @param status  of HTTP with its phrase, "408 Request Timeout"
void send_error(int socket, std::string_view status, std::string_view message, std::string_view code);

void close_socket(int socket);

}  // namespace coala
