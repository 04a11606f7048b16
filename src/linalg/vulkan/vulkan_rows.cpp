#include "linalg/vulkan/vulkan_rows.h"

#include <algorithm>
#include <cassert>
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
VulkanRows::Shape shape_of(const VulkanFeatures::Piece& features, std::size_t columns, std::size_t groups,
                           const VkPhysicalDeviceLimits& limits) {
  VulkanRows::Shape shape{.sides = features.sides, .type = features.type, .row_words = features.row_words};
  const std::size_t pairs = ceil_div(columns, 2);
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

template <class T>
std::unique_ptr<VulkanMemory> filled(VulkanDevice& device, std::span<const T> values) {
  auto memory = device.allocate(values.size_bytes());
  device.write(*memory, 0, std::as_bytes(values));
  return memory;
}

}  // namespace

VulkanRows::VulkanRows(const GatedData& data, VulkanDevice& device)
    : PassRows(rows_of(data), data.segments.empty() ? 0 : data.segments.front().plus_open.cols(),
               data.segments.empty() ? 0 : data.segments.front().plus.cols(), bytes_of(data)) {
  check_workgroups(groups(), dimension(), device);
  features_ = data.loaded ? std::static_pointer_cast<const VulkanFeatures>(data.loaded)
                          : std::make_shared<const VulkanFeatures>(data, device);
  assert(features_->with_ones() == !data.scale.empty());
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

void VulkanRows::load(const GatedData::Segment& segment, VulkanDevice& device) {
  const std::size_t sides = segment.minus.rows() > 0 ? 2 : 1;
  const std::size_t fitting =
      rows_in_sight(sides * std::max<std::size_t>(1, mask_words(groups())), device.limits().maxStorageBufferRange);
  std::vector<VulkanFeatures::Place> places(segment.plus.rows());
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = features_->place_of(segment, i);
  for (std::size_t at = 0; at < places.size();) {
    const std::uint32_t piece = places[at].piece;
    std::size_t end = at;
    while (end < places.size() && places[end].piece == piece && end - at < fitting) ++end;
    load_piece(segment, at, std::span(places).subspan(at, end - at), device);
    at = end;
  }
}

void VulkanRows::load_piece(const GatedData::Segment& segment, std::size_t begin,
                            std::span<const VulkanFeatures::Place> places, VulkanDevice& device) {
  const VulkanFeatures::Piece& features = features_->pieces()[places.front().piece];
  const Shape shape = shape_of(features, columns(), groups(), device.limits());
  const std::size_t words = mask_words(groups());
  const std::size_t count = places.size();
  std::vector<std::uint32_t> rows(count);
  std::vector<std::uint32_t> masks(count * shape.sides * words);
  for (std::size_t i = 0; i < count; ++i) {
    rows[i] = places[i].row;
    for (std::size_t side = 0; side < shape.sides; ++side) {
      const Matrix<std::uint8_t>& open = side == 0 ? segment.plus_open : segment.minus_open;
      std::uint32_t* const mask = masks.data() + (i * shape.sides + side) * words;
      for (std::size_t p = 0; p < groups(); ++p) {
        mask[p / 32] |= std::uint32_t{open(begin + i, p) != 0} << (p % 32);
      }
    }
  }
  Piece piece{shape,
              loaded_,
              narrow(count),
              chunks_,
              narrow(ceil_div(count, chunk_rows_)),
              features.x.get(),
              filled(device, std::span<const std::uint32_t>(rows)),
              filled(device, std::span<const std::uint32_t>(masks))};
  pattern_bytes_ += piece.places->bytes() + piece.masks->bytes();
  loaded_ += piece.count;
  chunks_ += piece.chunks;
  pieces_.push_back(std::move(piece));
}

}  // namespace coala
