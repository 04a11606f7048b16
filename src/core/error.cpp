#include "core/error.h"

namespace coala {

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
