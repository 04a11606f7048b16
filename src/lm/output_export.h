#pragma once

#include <filesystem>
#include <string>

#include "coala/model_choices.h"
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
                const std::string& name, const std::filesystem::path& path);

/// Writes the whole model with the changed output matrix, all other tensors as they are. A tied matrix becomes one of
/// its own. What is quantised is so by ggml's own routine; how much of the change is lost in it is for
/// export_loss() to say. The file is loaded once and compared with the change before it gets its name.
/// @param name  of the model in the file ("general.name"), which chat programs list
/// @throws Error{BadInput} before anything is written when the model has an adapter, when llama.cpp does not read the
///   architecture with an output matrix of its own (can_have_own_output()), when the rows do not go into blocks of the
///   type; when a number does not fit into F16; Error{Io}
void write_merged(const Backbone& backbone, const OutputMatrix& output, const OutputChange& change, MergedType type,
                  const std::string& name, const std::filesystem::path& path);

}  // namespace coala
