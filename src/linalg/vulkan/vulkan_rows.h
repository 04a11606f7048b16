#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "linalg/backend.h"
#include "linalg/vulkan/vulkan_device.h"
#include "linalg/vulkan/vulkan_features.h"

namespace coala {

/// Rows of features that a device has, with the gates that are open in them. Of a piece of the features a kernel reads
/// the rows by their places.
class VulkanRows : public PassRows {
 public:
  /// How a kernel goes over rows of one kind: shaders/gated_pass.comp.
  struct Shape {
    std::uint32_t sides = 1;      ///< 2: pairs
    std::uint32_t type = 0;       ///< F32, F16, BF16
    std::uint32_t row_words = 0;  ///< of 32 bits, of a response
    std::uint32_t lanes = 0;
    std::uint32_t pairs = 0;  ///< of columns, of a lane
    std::uint32_t batch = 0;  ///< rows at once
  };
  struct Piece {
    Shape shape;
    std::uint32_t first = 0;  ///< row
    std::uint32_t count = 0;
    std::uint32_t first_chunk = 0;
    std::uint32_t chunks = 0;
    const VulkanMemory* x = nullptr;
    std::unique_ptr<VulkanMemory> places;  ///< [count] rows of x
    std::unique_ptr<VulkanMemory> masks;   ///< [count][sides][words]: the open gates, a bit each
    std::uint64_t x_bytes() const { return std::uint64_t{count} * shape.sides * shape.row_words * 4; }
  };

  /// @param data  without `loaded` its features are loaded
  /// @throws Error{BadUsage} for numbers of another type, and for more of them than the device's kernels can take
  VulkanRows(const GatedData& data, VulkanDevice& device);

  const std::vector<Piece>& pieces() const { return pieces_; }
  /// A chunk of rows belongs to one workgroup; sums are of a chunk first, then of the chunks in order.
  std::uint32_t chunk_rows() const { return chunk_rows_; }
  std::uint32_t chunks() const { return chunks_; }
  bool shifted() const { return scale_ != nullptr; }
  /// Of the weights: d, and one for the ones.
  std::uint32_t columns() const { return static_cast<std::uint32_t>(dimension()) + (shifted() ? 1 : 0); }
  /// Of places and masks.
  std::uint64_t pattern_bytes() const { return pattern_bytes_; }
  const VulkanMemory* scale() const { return scale_.get(); }  ///< [d], or null
  const VulkanMemory* mean() const { return mean_.get(); }
  const VulkanMemory& gradients() const { return *gradients_; }  ///< [chunks][P][columns], of a pass
  const VulkanMemory& sums() const { return *sums_; }            ///< [chunks][kPassFloats]
  const VulkanMemory* folded() const { return folded_.get(); }   ///< [P][columns] weights with the transform

 private:
  void load(const GatedData::Segment& segment, VulkanDevice& device);
  void load_piece(const GatedData::Segment& segment, std::size_t begin, std::span<const VulkanFeatures::Place> places,
                  VulkanDevice& device);

  std::shared_ptr<const VulkanFeatures> features_;
  std::vector<Piece> pieces_;
  std::uint32_t chunk_rows_ = 1;
  std::uint32_t chunks_ = 0;
  std::uint32_t loaded_ = 0;  ///< rows
  std::uint64_t pattern_bytes_ = 0;
  std::unique_ptr<VulkanMemory> scale_, mean_, gradients_, sums_, folded_;
};

}  // namespace coala
