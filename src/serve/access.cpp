#include "serve/access.h"

#include <fmt/format.h>
#include <httplib.h>

#include <algorithm>

#include "core/utf8.h"
#include "serve/page.h"
#include "serve/request_error.h"

namespace coala {
namespace {

/// In a time that depends on the length of what is sent and on nothing else.
bool equal(std::string_view sent, std::string_view key) {
  unsigned difference = sent.size() == key.size() ? 0 : 1;
  for (std::size_t i = 0; i < sent.size(); ++i) {
    difference |= static_cast<unsigned char>(sent[i]) ^ static_cast<unsigned char>(key[i % key.size()]);
  }
  return difference == 0;
}

/// "name" of "name:port", "::1" of "[::1]:port".
std::string_view without_port(std::string_view host) {
  if (host.starts_with("[")) return host.substr(1, std::min(host.find(']'), host.size()) - 1);
  return host.substr(0, host.find(':'));
}

}  // namespace

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" || (host.starts_with("127.") && std::ranges::all_of(host, [](char c) {
                                                    return c == '.' || (c >= '0' && c <= '9');
                                                  }));
}

bool Access::is_allowed(const std::string& origin) const {
  return std::ranges::find(origins_, origin) != origins_.end() || std::ranges::find(origins_, "*") != origins_.end();
}

bool Access::allow_origin(const httplib::Request& request, httplib::Response& response) const {
  if (!request.has_header("Origin")) return false;
  response.set_header("Vary", "Origin");
  const std::string origin = request.get_header_value("Origin");
  if (!is_allowed(origin)) return false;
  response.set_header("Access-Control-Allow-Origin", origin);
  response.set_header("Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
  if (request.method == "OPTIONS") {
    response.set_header("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS");
    response.set_header("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Request-Id");
    response.set_header("Access-Control-Max-Age", "600");
  }
  return true;
}

void Access::check(const httplib::Request& request) const {
  if (key_.empty()) {
    const std::string host = request.get_header_value("Host");
    const std::string_view name = without_port(host);
    if (request.has_header("Host") && !is_loopback(name) && name != host_) {
      throw RequestError(403, "wrong_host", fmt::format("this server is not {}", quoted_text(name)), "",
                         "ask for localhost; names of other machines need a key (COALA_API_KEY)");
    }
    const std::string origin = request.get_header_value("Origin");
    if (request.has_header("Origin") && !is_allowed(origin) && origin != "http://" + host) {
      throw RequestError(403, "wrong_origin", fmt::format("pages of {} may not ask here", quoted_text(origin)), "",
                         "--allow-origin lets them");
    }
    return;
  }
  constexpr std::string_view kBearer = "Bearer ";
  const std::string sent = request.get_header_value("Authorization");
  // The page asks for the key itself.
  if (request.path == "/health" || find_page_file(request.path) != nullptr) return;
  if (!sent.starts_with(kBearer) || !equal(std::string_view(sent).substr(kBearer.size()), key_)) {
    throw RequestError(401, "invalid_api_key", "the key is missing or wrong", "", "send Authorization: Bearer KEY");
  }
}

}  // namespace coala
