#pragma once

#include <llama.h>

#include <string>

#include "lm/backbone.h"

namespace coala {

/// What all of our contexts have in common: states with logits, exact enough to be compared between contexts (no flash
/// attention, a cache in single precision), sequences that share cells, and an end when the user interrupts.
llama_context_params context_params(int threads);

/// A context of the model with its adapter.
/// @param tokens  that the context is for, for the message
/// @param hint    what to do when there is no room for it
/// @throws Error{OutOfMemory}; Error{BadInput} when the model is an encoder of a kind that is not supported
llama_context* open_context(const Backbone& backbone, const llama_context_params& params, std::size_t tokens,
                            const std::string& hint);

/// Evaluates a batch.
/// @throws Error{BadInput} when the cache of the context is full, Error{Interrupted}, Error{Internal}
/// @param hint  what to do about a full cache; empty: that it is full is a defect
void decode_batch(llama_context* context, const llama_batch& batch, const std::string& hint = "");

/// Does the node of an evaluation hold the states after the final norm? Its name is another when embeddings are asked
/// for.
bool is_last_state(const char* node_name);

/// Can a sequence share the beginning of another, or lose its end? A recurrent state is of the whole or of nothing.
bool has_parts(const Backbone& backbone);

}  // namespace coala
