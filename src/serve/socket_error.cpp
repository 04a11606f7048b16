#include "serve/socket_error.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace coala {

void send_error(int socket, const RequestError& error) {
  const std::string body = error_json(error).dump();
  const std::string answer =
      fmt::format("HTTP/1.1 {} \r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
                  error.status(), body.size(), body);
  ::send(socket, answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void close_socket(int socket) {
  ::shutdown(socket, SHUT_RDWR);
  ::close(socket);
}

}  // namespace coala
