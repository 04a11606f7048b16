#include "core/byte_text.h"

#include <fmt/format.h>

namespace coala {

std::string in_megabytes(std::uint64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

}  // namespace coala
