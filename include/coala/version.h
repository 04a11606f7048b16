#pragma once

#include "coala/api.h"

namespace coala::v1 {

/// Version of the library, such as "0.1.0".
COALA_API const char* version() noexcept;

}  // namespace coala::v1
