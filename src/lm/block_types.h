#pragma once

#include <ggml.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "linalg/block_kernels.h"

namespace coala {

/// A type of weights that block_kernels() has a kernel for.
struct BlockType {
  ggml_type type;
  BlockFormat format;
  /// From so many rows on it is faster than ggml's inner products; bench/few_rows.cpp prints by how much.
  std::size_t fewest_rows;
};

inline constexpr std::array<BlockType, kBlockFormats> kBlockTypes{{{GGML_TYPE_Q4_0, BlockFormat::Q4_0, 1},
                                                                   {GGML_TYPE_Q4_1, BlockFormat::Q4_1, 1},
                                                                   {GGML_TYPE_Q5_0, BlockFormat::Q5_0, 1},
                                                                   {GGML_TYPE_Q5_1, BlockFormat::Q5_1, 1},
                                                                   {GGML_TYPE_Q8_0, BlockFormat::Q8_0, 1},
                                                                   {GGML_TYPE_IQ4_NL, BlockFormat::IQ4_NL, 1},
                                                                   {GGML_TYPE_MXFP4, BlockFormat::MXFP4, 1},
                                                                   {GGML_TYPE_Q4_K, BlockFormat::Q4_K, 2},
                                                                   {GGML_TYPE_Q5_K, BlockFormat::Q5_K, 2},
                                                                   {GGML_TYPE_Q6_K, BlockFormat::Q6_K, 3}}};

/// Of a type that has kernels on this CPU; null when it has none.
inline const BlockType* block_type_of(ggml_type type) {
  const auto* const found = std::ranges::find(kBlockTypes, type, &BlockType::type);
  return block_kernels() != nullptr && found != kBlockTypes.end() ? found : nullptr;
}

/// What turns such weights over; null: ggml decodes them first.
inline DenseKernels::PackPanel pack_panel_of(ggml_type type) {
  const BlockType* const found = block_type_of(type);
  return found != nullptr ? block_kernels()->pack_panel_of(found->format) : nullptr;
}

}  // namespace coala
