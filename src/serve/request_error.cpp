#include "serve/request_error.h"

#include <fmt/format.h>

#include "core/utf8.h"

namespace coala {
namespace {

const char* type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

/// Of an error that says no more than its kind.
const char* name_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::BadUsage:
    case ErrorCode::BadInput:
      return "invalid_value";
    case ErrorCode::Mismatch:
      return "not_found";
    case ErrorCode::OutOfMemory:
      return "out_of_memory";
    case ErrorCode::Interrupted:
      return "stopping";
    case ErrorCode::CorruptFile:
    case ErrorCode::Io:
    case ErrorCode::NotBuilt:
    case ErrorCode::Internal:
      break;
  }
  return "internal_error";
}

}  // namespace

int status_of(const Error& error) {
  if (const auto* request = dynamic_cast<const RequestError*>(&error)) return request->status();
  switch (error.code()) {
    case ErrorCode::BadUsage:
    case ErrorCode::BadInput:
      return 400;
    case ErrorCode::Mismatch:
      return 404;
    case ErrorCode::OutOfMemory:
    case ErrorCode::Interrupted:
      return 503;
    case ErrorCode::CorruptFile:
    case ErrorCode::Io:
    case ErrorCode::NotBuilt:
    case ErrorCode::Internal:
      break;
  }
  return 500;
}

nlohmann::ordered_json error_json(const Error& error) {
  const auto* request = dynamic_cast<const RequestError*>(&error);
  const std::string message =
      error.hint().empty() ? std::string(error.what()) : fmt::format("{} ({})", error.what(), error.hint());
  nlohmann::ordered_json body{{"message", message}, {"type", type_of(status_of(error))}, {"param", nullptr}};
  if (request != nullptr && !request->param().empty()) body["param"] = printable(request->param());
  body["code"] = request != nullptr ? request->name() : name_of(error.code());
  if (request != nullptr) {
    for (const auto& [name, count] : request->counts()) body[name] = count;
  }
  return {{"error", body}};
}

}  // namespace coala
