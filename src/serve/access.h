#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace httplib {
struct Request;
struct Response;
}  // namespace httplib

namespace coala {

/// Is it an address or name at which only this machine can be reached?
bool is_loopback(std::string_view host);

/// Who may ask.
class Access {
 public:
  /// @param host     that the server listens at
  /// @param key      that clients must send as a bearer token; "": none
  /// @param origins  of pages in browsers that may ask; "*": all
  Access(std::string host, std::string key, std::vector<std::string> origins)
      : host_(std::move(host)), key_(std::move(key)), origins_(std::move(origins)) {}

  /// Checks what comes before the body. Without a key the server is there for this machine alone, so what a page of
  /// another site has a browser send is refused: by its Origin, and by the Host it takes the server for (DNS
  /// rebinding).
  /// @throws RequestError
  void check(const httplib::Request& request) const;
  /// Tells a browser what a page may do, where it may. For preflights, before check(), and for every answer.
  /// @return  whether the request's origin may ask
  bool allow_origin(const httplib::Request& request, httplib::Response& response) const;

 private:
  bool is_allowed(const std::string& origin) const;

  std::string host_;
  std::string key_;
  std::vector<std::string> origins_;
};

}  // namespace coala
