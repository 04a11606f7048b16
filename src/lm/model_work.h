#pragma once

#include <filesystem>

namespace coala {

/// How many weights a token meets in a model, by the shapes of its tensors.
struct ModelWork {
  /// Of the layers' matrices. Of the experts of a layer (Shazeer et al. 2017, arXiv 1701.06538) those that a token is
  /// sent to.
  double block_weights = 0;
  double output_weights = 0;  ///< of the output matrix, or of the embedding that stands in for it
  /// Layers times heads times the size of a head, the mean of keys' and values'.
  double attention_width = 0;
};

/// Reads the header alone. @throws what read_gguf_header() throws: also for an adapter, or a projector of images
ModelWork work_of_model(const std::filesystem::path& path);

}  // namespace coala
