#pragma once

namespace coala {

class Backbone;

/// Where a decode's states come from when its logits are wanted too.
enum class StateRoute {
  Embeddings,  ///< llama.cpp hands them out beside the logits
  FinalNorm,   ///< it leaves the logits out where it does: the node of the graph that holds them is copied
};

/// Looks how the model evaluates a few tokens: with llama.cpp's embeddings on and off, which must not change the
/// logits, and without any kernels of ours, as plain llama.cpp does it.
/// @throws Error{BadInput} when the log-probabilities have nothing in common with plain llama.cpp's, or no state can be
///   had beside them: a model for which this version is wrong is not used
StateRoute find_state_route(const Backbone& backbone);

}  // namespace coala
