#pragma once

#include <string>

#include "lm/backbone.h"

namespace coala {

/// llama.cpp ends the process where a model is not as it expects. Loads the model and evaluates a few tokens in a
/// process of its own first, unless this content has gone well before with this version. The verdict is kept in the
/// user's cache folder, if there is one.
/// @param hash  of the model's file
/// @throws Error{BadInput} with what ended it
void try_model(const ModelFile& file, const std::string& hash);

/// From here on an assertion of llama.cpp in this process ends it with one message, written by `say`, and status 2.
void end_on_llama_assertions(void (*say)(const char* message));

}  // namespace coala
