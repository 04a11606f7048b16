#pragma once

#include <filesystem>

#include "core/matrix.h"
#include "lm/backbone.h"
#include "lm/output_matrix.h"

namespace coala {

/// A change of the output matrix of low rank, E -> E + B A.
struct OutputChange {
  Matrix<float> a;  ///< [r, d]
  Matrix<float> b;  ///< [V, r]
};

/// Does llama.cpp read this architecture with an output matrix of its own? Some have none: it is their embedding,
/// always (Gemma, Command R). Asked by a file of the model's form without its numbers, beside `path`.
/// @throws Error{Io}
bool can_have_own_output(const Backbone& backbone, const std::filesystem::path& path);

/// Writes the change as a LoRA adapter on `output.weight`, which every llama.cpp program applies (--lora).
/// @throws Error{BadInput} when the output matrix is tied to the embedding: the adapter would change what the model
///   reads as well, and llama.cpp refuses it; Error{Io}
void write_lora(const Backbone& backbone, const OutputMatrix& output, const OutputChange& change,
                const std::filesystem::path& path);

/// Writes the whole model with the changed output matrix, in F32 when it was F32 and in F16 otherwise: quantised again,
/// the change would drown in rounding. A tied matrix becomes one of its own. The file is loaded once and compared with
/// the change before it gets its name.
/// @throws Error{BadInput} before anything is written when the model has an adapter, when llama.cpp does not read the
///   architecture with an output matrix of its own (can_have_own_output()); when a number does not fit into F16;
///   Error{Io}
void write_merged(const Backbone& backbone, const OutputMatrix& output, const OutputChange& change,
                  const std::filesystem::path& path);

}  // namespace coala
