#include "core/error.h"

#include "core/utf8.h"

namespace coala {

Error::Error(ErrorCode code, std::string_view message, std::string_view hint)
    : std::runtime_error(printable(message)), code_(code), hint_(printable(hint)) {}

int exit_status(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::BadUsage:
    case ErrorCode::BadInput:
    case ErrorCode::CorruptFile:
    case ErrorCode::Mismatch:
    case ErrorCode::NotBuilt:
      return 2;
    case ErrorCode::Interrupted:
      return 130;
    case ErrorCode::Io:
    case ErrorCode::OutOfMemory:
    case ErrorCode::Internal:
      return 1;
  }
  return 1;
}

const char* error_name(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::BadUsage:
      return "bad usage";
    case ErrorCode::BadInput:
      return "bad input";
    case ErrorCode::CorruptFile:
      return "corrupt file";
    case ErrorCode::Mismatch:
      return "mismatch";
    case ErrorCode::Io:
      return "input/output error";
    case ErrorCode::NotBuilt:
      return "not built";
    case ErrorCode::OutOfMemory:
      return "out of memory";
    case ErrorCode::Interrupted:
      return "interrupted";
    case ErrorCode::Internal:
      return "internal error";
  }
  return "error";
}

}  // namespace coala
