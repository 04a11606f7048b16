#pragma once

#include <string>

#include "data/record.h"

namespace coala {

/// The prompt with an instruction at the end of its system message, which it may get for that.
/// @throws Error{BadInput} for a text that is to be continued
Prompt instructed(const Prompt& prompt, const std::string& instruction);

}  // namespace coala
