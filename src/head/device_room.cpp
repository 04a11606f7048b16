#include "head/device_room.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/byte_text.h"
#include "core/error.h"
#include "solver/moment_spectrum.h"

namespace coala {
namespace {

constexpr std::uint64_t kNumber = sizeof(float);

}  // namespace

FitSize size_of(const FeatureSet& set) {
  const bool pairs = set.kind == FeatureKind::Pairs;
  return {set.rows(), pairs ? 2u : 1u, set.dimension(),
          set.chosen.bytes() + set.rejected.bytes() + set.features.bytes()};
}

std::uint64_t device_bytes(const FitSize& size, const FitSettings& settings) {
  if (settings.model_class != ModelClass::Gated || settings.gates == 0) return 0;
  const std::uint64_t n = size.rows;
  const std::uint64_t d = size.dimension;
  const std::uint64_t groups = static_cast<std::uint64_t>(settings.gates) + 1;  // and the linear one
  // Of one operator and its solver: places, gates and the sums of chunks of rows (linalg/vulkan/vulkan_rows.cpp); what
  // there is of the rows, and weights; the metric.
  constexpr std::uint64_t kMostChunks = 256;
  constexpr std::uint64_t kMostSums = 16u << 20;
  const std::uint64_t pattern = n * (1 + size.sides * ((groups + 31) / 32));
  const std::uint64_t sums = std::min(groups * (d + 1) * kMostChunks, kMostSums + groups * (d + 1));
  const std::uint64_t vectors = 4 * n + 3 * groups * d;
  const std::uint64_t metric = d * std::min<std::uint64_t>(d, kWholeDimensions);
  const std::uint64_t solve = 9 * (n + groups * d);  // the points of the one that is running
  const std::uint64_t operators = static_cast<std::uint64_t>(settings.folds) + 1;
  return size.feature_bytes + kNumber * (operators * (pattern + sums + vectors + metric) + solve);
}

void check_device_room(const FitSize& size, const FitSettings& settings, Backend& backend) {
  const std::uint64_t wanted = device_bytes(size, settings);
  const std::uint64_t free = backend.free_bytes();
  if (wanted <= free) return;
  throw Error(
      ErrorCode::BadUsage,
      fmt::format("the gated program on {} rows of dimension {} needs {} on {} ({}), where {} are free", size.rows,
                  size.dimension, in_megabytes(wanted), backend.name(), backend.description(), in_megabytes(free)),
      "use --device cpu");
}

}  // namespace coala
