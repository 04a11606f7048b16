#pragma once

#include "serve/request_error.h"

namespace coala {

/// What a connection of a broken request is told: an error in OpenAI's shape, written past the library, which answers
/// such requests in its own way. A client that does not take it at once goes without.
void send_error(int socket, const RequestError& error);

void close_socket(int socket);

}  // namespace coala
