#pragma once

#include <nlohmann/json.hpp>

#include "coala/records.h"

namespace coala {

/// A prompt as a program reads it: its messages or its text.
nlohmann::ordered_json prompt_json(const Prompt& prompt);
/// The column of a record that has it: "prompt", its messages, or "prefix"; none of an empty prompt.
nlohmann::ordered_json prompt_fields(const Prompt& prompt);

}  // namespace coala
