#include "serve/receive_body.h"

#include "serve/connection.h"
#include "serve/request_error.h"

namespace coala {

std::string receive_body(const httplib::Request& request, const httplib::Response& response,
                         const httplib::ContentReader& read) {
  if (request.is_multipart_form_data()) throw RequestError(400, "invalid_json", "the request is no JSON object");
  std::string body;
  bool fits = true;
  const bool is_whole = read([&](const char* data, std::size_t size) {
    fits = body.size() + size <= kLargestBody_bytes;
    if (fits) body.append(data, size);
    return fits;
  });
  if (!fits || response.status == 413) throw RequestError(413, "body_too_large", "the request is larger than 8 MB");
  if (is_whole) return body;
  if (ConnectionServer::came_too_slowly()) throw RequestError(408, "request_timeout", "the request comes too slowly");
  throw RequestError(400, "bad_request", "the request is cut off, or is not packed as its headers say");
}

}  // namespace coala
