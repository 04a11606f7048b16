#pragma once

#include <string>
#include <vector>

namespace coala {

/// Starts llama.cpp once per process and sends its log here instead of to the terminal. Safe to call again.
/// @throws Error  in a portable build: no library of ggml's code for this CPU is where it was installed
void start_llama();

/// Forgets the lines captured so far, before an operation whose failure is to be explained.
void clear_llama_log();

/// The first error that llama.cpp logged since clear_llama_log(), in one line; "" when there was none. The first one
/// is the cause, later ones only report that loading failed.
std::string llama_error();

/// What llama.cpp warned of since clear_llama_log(), each line once, without the names of its functions and without
/// ornaments.
std::vector<std::string> llama_warnings();

}  // namespace coala
