#include "coala/version.h"

#include "core/version.h"

namespace coala::v1 {

const char* version() noexcept {
  return kVersion;
}

}  // namespace coala::v1
