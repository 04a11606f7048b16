#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "core/error.h"

namespace coala {

/// What is wrong with a client's request, with all that OpenAI's error object says of it.
class RequestError : public Error {
 public:
  /// @param status  of HTTP
  /// @param code    a word that programs compare: "context_length_exceeded"
  /// @param param   the field that is meant; "" for none
  RequestError(int status, std::string code, std::string_view message, std::string param = {},
               std::string_view hint = {}, std::map<std::string, std::uint64_t> counts = {})
      : Error(ErrorCode::BadInput, message, hint),
        status_(status),
        name_(std::move(code)),
        param_(std::move(param)),
        counts_(std::move(counts)) {}

  int status() const { return status_; }
  const std::string& name() const { return name_; }
  const std::string& param() const { return param_; }
  /// More of it, in numbers: {"n_ctx": 8192}.
  const std::map<std::string, std::uint64_t>& counts() const { return counts_; }

 private:
  int status_;
  std::string name_;
  std::string param_;
  std::map<std::string, std::uint64_t> counts_;
};

int status_of(const Error& error);
/// {"error": {"message", "type", "param", "code"}}
nlohmann::ordered_json error_json(const Error& error);

}  // namespace coala
