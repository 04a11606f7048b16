#pragma once

#include "coala/error.h"

namespace coala {

/// Exit status of the program for an error: 2 for usage and input, 130 for an interrupt, 1 otherwise.
int exit_status(ErrorCode code) noexcept;

}  // namespace coala
