#pragma once

#include <cerrno>
#include <string_view>

#include "core/error.h"

namespace coala {

/// The disk has no room for what was to be written, or none that the user may take.
class DiskFull : public Error {
 public:
  DiskFull(std::string_view message, std::string_view hint) : Error(ErrorCode::Io, message, hint) {}
};

/// Whether an operation of the system failed for that.
constexpr bool means_disk_full(int error) noexcept {
  return error == ENOSPC || error == EDQUOT;
}

}  // namespace coala
