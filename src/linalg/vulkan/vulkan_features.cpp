#include "linalg/vulkan/vulkan_features.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <tuple>

#include "core/error.h"

namespace coala {
namespace {

std::uint32_t narrow(std::size_t value) {
  return static_cast<std::uint32_t>(value);
}

std::uint32_t type_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::F32:
      return 0;
    case Dtype::F16:
      return 1;
    case Dtype::BF16:
      return 2;
    default:
      throw Error(ErrorCode::BadUsage,
                  "features of type " + std::string(dtype_name(dtype)) + " are not computed on a device",
                  "use the CPU, or features of F32, F16 or BF16");
  }
}

/// 1 as a number of this type.
std::uint32_t one_of(std::uint32_t type) {
  constexpr std::uint32_t kOnes[] = {0x3f800000, 0x3c00, 0x3f80};
  return kOnes[type];
}

std::size_t sides_of(const GatedData::Segment& segment) {
  return segment.minus.rows() > 0 ? 2 : 1;
}

const std::byte* second_of(const GatedData::Segment& segment, std::size_t i) {
  return segment.minus.rows() > 0 ? segment.minus.pointers()[i] : nullptr;
}

}  // namespace

std::size_t rows_in_sight(std::size_t words, std::uint32_t range) {
  return std::max<std::size_t>(1, range / (sizeof(std::uint32_t) * words));
}

VulkanFeatures::VulkanFeatures(const GatedData& data, VulkanDevice& device)
    : dimension_(data.segments.empty() ? 0 : data.segments.front().plus.cols()), with_ones_(!data.scale.empty()) {
  for (const GatedData::Segment& segment : data.segments) load(segment, device);
  std::ranges::sort(rows_, {}, [](const Row& row) { return std::pair(row.plus, row.minus); });
}

VulkanFeatures::Place VulkanFeatures::place_of(const GatedData::Segment& segment, std::size_t i) const {
  const std::pair<const std::byte*, const std::byte*> wanted(segment.plus.pointers()[i], second_of(segment, i));
  const auto address = [](const Row& row) { return std::pair(row.plus, row.minus); };
  const auto found = std::ranges::lower_bound(rows_, wanted, {}, address);
  if (found == rows_.end() || address(*found) != wanted) {
    throw Error(ErrorCode::Internal, "a row is not among the features that the device has", "use the CPU");
  }
  return found->place;
}

void VulkanFeatures::load(const GatedData::Segment& segment, VulkanDevice& device) {
  const std::size_t sides = sides_of(segment);
  const std::uint32_t type = type_of(segment.plus.dtype());
  const std::size_t pairs = (dimension_ + (with_ones_ ? 1 : 0) + 1) / 2;
  const std::size_t words = type == 0 ? 2 * pairs : pairs;
  const std::size_t fitting = rows_in_sight(words * sides, device.limits().maxStorageBufferRange);
  for (std::size_t at = 0; at < segment.plus.rows(); at += fitting) {
    load_piece(segment, at, std::min(fitting, segment.plus.rows() - at), {narrow(sides), type, narrow(words), nullptr},
               device);
  }
}

void VulkanFeatures::load_piece(const GatedData::Segment& segment, std::size_t begin, std::size_t count, Piece piece,
                                VulkanDevice& device) {
  const std::size_t words = piece.row_words;
  const std::size_t number_bytes = dtype_bytes(segment.plus.dtype());
  piece.x = device.allocate(std::uint64_t{count} * piece.sides * words * 4);
  const std::size_t block = std::max<std::size_t>(1, (1u << 18) / (words * piece.sides));
  std::vector<std::uint32_t> numbers;
  for (std::size_t at = 0; at < count; at += block) {
    const std::size_t last = std::min(at + block, count);
    numbers.assign((last - at) * piece.sides * words, 0);
    for (std::size_t i = at; i < last; ++i) {
      for (std::size_t side = 0; side < piece.sides; ++side) {
        const StoredRows& x = side == 0 ? segment.plus : segment.minus;
        auto* const row = reinterpret_cast<std::byte*>(numbers.data() + ((i - at) * piece.sides + side) * words);
        std::memcpy(row, x.pointers()[begin + i], dimension_ * number_bytes);
        const std::uint32_t one = one_of(piece.type);
        if (with_ones_) std::memcpy(row + dimension_ * number_bytes, &one, number_bytes);  // the lower bytes come first
      }
      rows_.push_back(
          {segment.plus.pointers()[begin + i], second_of(segment, begin + i), {narrow(pieces_.size()), narrow(i)}});
    }
    device.write(*piece.x, at * piece.sides * words * 4, std::as_bytes(std::span(numbers)));
  }
  pieces_.push_back(std::move(piece));
}

}  // namespace coala
