#include "linalg/vulkan/vulkan_rows.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "core/error.h"

namespace coala {
namespace {

std::size_t ceil_div(std::size_t a, std::size_t b) {
  return (a + b - 1) / b;
}

std::size_t mask_words(std::size_t groups) {
  return ceil_div(groups, 32);
}

std::uint32_t narrow(std::size_t value) {
  return static_cast<std::uint32_t>(value);
}

std::size_t rows_of(const GatedData& data) {
  std::size_t count = 0;
  for (const auto& segment : data.segments) count += segment.plus.rows();
  return count;
}
std::uint64_t bytes_of(const GatedData& data) {
  std::uint64_t sum = 0;
  for (const auto& segment : data.segments) sum += segment.plus.bytes() + segment.minus.bytes();
  return sum;
}

/// Numbers of a lane stay in registers: few columns for a lane, and as many rows at once as then have room.
VulkanRows::Shape shape_of(const GatedData::Segment& segment, std::size_t columns, std::size_t groups,
                           const VkPhysicalDeviceLimits& limits) {
  VulkanRows::Shape shape;
  shape.sides = segment.minus.rows() > 0 ? 2 : 1;
  switch (segment.plus.dtype()) {
    case Dtype::F32:
      shape.type = 0;
      break;
    case Dtype::F16:
      shape.type = 1;
      break;
    case Dtype::BF16:
      shape.type = 2;
      break;
    default:
      throw Error(ErrorCode::BadUsage,
                  "features of type " + std::string(dtype_name(segment.plus.dtype())) + " are not computed on a device",
                  "use the CPU, or features of F32, F16 or BF16");
  }
  const std::size_t pairs = ceil_div(columns, 2);
  shape.row_words = narrow(shape.type == 0 ? 2 * pairs : pairs);
  constexpr std::size_t kPairsOfALane = 4;
  constexpr std::uint32_t kMostLanes = 1024;
  shape.lanes = 128;
  while (ceil_div(pairs, shape.lanes) > kPairsOfALane &&
         2 * shape.lanes <= std::min(kMostLanes, limits.maxComputeWorkGroupInvocations) &&
         2 * shape.lanes <= limits.maxComputeWorkGroupSize[0]) {
    shape.lanes *= 2;
  }
  shape.pairs = narrow(ceil_div(pairs, shape.lanes));
  constexpr std::uint32_t kMostParts = 2048;  // 8 KB of shared memory: every device has 16
  constexpr std::size_t kMostNumbers = 64;
  constexpr std::size_t kMostSteps = 256;  // of the loop over the groups' gradients, which is unrolled
  shape.batch = std::min<std::uint32_t>(8, kMostParts / shape.lanes);
  const auto pairs_of_batch = [&] { return std::size_t{shape.batch} * shape.sides * shape.pairs; };
  while (shape.batch > 1 && (2 * pairs_of_batch() > kMostNumbers || groups * pairs_of_batch() > kMostSteps)) {
    shape.batch /= 2;
  }
  return shape;
}

/// Kernels of weights have a workgroup for as many, or for a group, and one beside them.
void check_workgroups(std::size_t groups, std::size_t columns, const VulkanDevice& device) {
  constexpr std::size_t kWeights = 128;
  const std::size_t needed = std::max(groups, ceil_div(groups * columns, kWeights) + 1);
  const std::size_t most = device.limits().maxComputeWorkGroupCount[0];
  if (needed <= most) return;
  throw Error(ErrorCode::BadUsage,
              std::to_string(groups) + " gates of " + std::to_string(columns) + " columns need " +
                  std::to_string(needed) + " workgroups; " + device.description() + " has " + std::to_string(most),
              "use the CPU, or fewer gates or columns");
}

std::unique_ptr<VulkanMemory> filled(VulkanDevice& device, std::span<const float> values) {
  auto memory = device.allocate(values.size_bytes());
  device.write(*memory, 0, std::as_bytes(values));
  return memory;
}

/// 1 as a number of this type.
std::uint32_t one_of(std::uint32_t type) {
  constexpr std::uint32_t kOnes[] = {0x3f800000, 0x3c00, 0x3f80};
  return kOnes[type];
}

}  // namespace

VulkanRows::VulkanRows(const GatedData& data, VulkanDevice& device)
    : PassRows(rows_of(data), data.segments.empty() ? 0 : data.segments.front().plus_open.cols(),
               data.segments.empty() ? 0 : data.segments.front().plus.cols(), bytes_of(data)) {
  check_workgroups(groups(), dimension(), device);
  if (!data.scale.empty()) {
    scale_ = filled(device, data.scale);
    mean_ = filled(device, data.mean);
  }
  const std::size_t weights = std::max<std::size_t>(1, groups() * columns());
  // Enough chunks for every core of a large card, but each with so many rows that its sums are few beside them.
  constexpr std::size_t kMostChunks = 256;
  constexpr std::size_t kMostSums = 16u << 20;  // 64 MB of them
  const std::size_t most = std::clamp<std::size_t>(kMostSums / weights, 1, kMostChunks);
  const std::size_t fewest_rows = std::max<std::size_t>(32, 4 * groups());
  chunk_rows_ = narrow(ceil_div(std::max(fewest_rows, ceil_div(rows(), most)), 8) * 8);
  for (const GatedData::Segment& segment : data.segments) load(segment, device);
  gradients_ = device.allocate(std::uint64_t{chunks_} * weights * sizeof(float));
  sums_ = device.allocate(std::uint64_t{chunks_} * kPassFloats * sizeof(float));
  if (shifted()) folded_ = device.allocate(weights * sizeof(float));
}

std::size_t VulkanRows::rows_of_piece(const Shape& shape, std::size_t groups, std::uint32_t range) {
  const std::size_t words = std::max<std::size_t>(shape.row_words, mask_words(groups));
  return std::max<std::size_t>(1, range / (sizeof(std::uint32_t) * words * shape.sides));
}

void VulkanRows::load(const GatedData::Segment& segment, VulkanDevice& device) {
  const Shape shape = shape_of(segment, columns(), groups(), device.limits());
  const std::size_t fitting = rows_of_piece(shape, groups(), device.limits().maxStorageBufferRange);
  for (std::size_t at = 0; at < segment.plus.rows(); at += fitting) {
    load_piece(segment, at, std::min(fitting, segment.plus.rows() - at), shape, device);
  }
}

void VulkanRows::load_piece(const GatedData::Segment& segment, std::size_t begin, std::size_t count, const Shape& shape,
                            VulkanDevice& device) {
  const std::size_t words = shape.row_words;
  const std::size_t words_of_mask = mask_words(groups());
  const std::size_t number_bytes = dtype_bytes(segment.plus.dtype());
  Piece piece{shape, loaded_, narrow(count), chunks_, narrow(ceil_div(count, chunk_rows_)), nullptr, nullptr};
  piece.x = device.allocate(piece.x_bytes());
  std::vector<std::uint32_t> masks(count * shape.sides * words_of_mask);
  const std::size_t block = std::max<std::size_t>(1, (1u << 18) / (words * shape.sides));
  std::vector<std::uint32_t> numbers;
  for (std::size_t at = 0; at < count; at += block) {
    const std::size_t last = std::min(at + block, count);
    numbers.assign((last - at) * shape.sides * words, 0);
    for (std::size_t i = at; i < last; ++i) {
      for (std::size_t side = 0; side < shape.sides; ++side) {
        const StoredRows& x = side == 0 ? segment.plus : segment.minus;
        const Matrix<std::uint8_t>& open = side == 0 ? segment.plus_open : segment.minus_open;
        auto* const row = reinterpret_cast<std::byte*>(numbers.data() + ((i - at) * shape.sides + side) * words);
        std::memcpy(row, x.pointers()[begin + i], dimension() * number_bytes);
        const std::uint32_t one = one_of(shape.type);
        if (shifted()) std::memcpy(row + dimension() * number_bytes, &one, number_bytes);  // the lower bytes come first
        std::uint32_t* const mask = masks.data() + (i * shape.sides + side) * words_of_mask;
        for (std::size_t p = 0; p < groups(); ++p) {
          mask[p / 32] |= std::uint32_t{open(begin + i, p) != 0} << (p % 32);
        }
      }
    }
    device.write(*piece.x, at * shape.sides * words * 4, std::as_bytes(std::span(numbers)));
  }
  piece.masks = device.allocate(masks.size() * 4);
  device.write(*piece.masks, 0, std::as_bytes(std::span(masks)));
  mask_bytes_ += masks.size() * 4;
  loaded_ += piece.count;
  chunks_ += piece.chunks;
  pieces_.push_back(std::move(piece));
}

}  // namespace coala
