#include "core/version.h"

namespace coala {

const char* const kVersion = COALA_VERSION;

}  // namespace coala
