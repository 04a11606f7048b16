#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "linalg/backend.h"
#include "linalg/vulkan/vulkan_device.h"

namespace coala {

/// How many rows of so many words of 32 bits a kernel sees of a buffer.
/// @param range  bytes of it that it sees
std::size_t rows_in_sight(std::size_t words, std::uint32_t range);

/// Features in the memory of a device, as they are stored: numbers of F32, F16 or BF16, the responses of a pair beside
/// each other, rows filled up to pairs of columns. With a transform there is a column of ones, whose weight is what the
/// mean does. Cut into pieces, since a kernel sees a buffer only up to a limit.
class VulkanFeatures : public LoadedFeatures {
 public:
  struct Piece {
    std::uint32_t sides = 1;      ///< 2: pairs
    std::uint32_t type = 0;       ///< F32, F16, BF16
    std::uint32_t row_words = 0;  ///< of 32 bits, of a response
    std::unique_ptr<VulkanMemory> x;
  };
  struct Place {
    std::uint32_t piece = 0;
    std::uint32_t row = 0;  ///< in it
  };

  /// @throws Error{BadUsage} for numbers of another type
  VulkanFeatures(const GatedData& data, VulkanDevice& device);

  const std::vector<Piece>& pieces() const { return pieces_; }
  bool with_ones() const { return with_ones_; }
  /// Where row i of a segment is.
  /// @throws Error{Internal} when it is not among these
  Place place_of(const GatedData::Segment& segment, std::size_t i) const;

 private:
  struct Row {
    const std::byte* plus = nullptr;
    const std::byte* minus = nullptr;  ///< null for single responses
    Place place = {};
  };

  void load(const GatedData::Segment& segment, VulkanDevice& device);
  void load_piece(const GatedData::Segment& segment, std::size_t begin, std::size_t count, Piece piece,
                  VulkanDevice& device);

  std::size_t dimension_;
  bool with_ones_;
  std::vector<Piece> pieces_;
  std::vector<Row> rows_;  ///< by their addresses
};

}  // namespace coala
