#pragma once

#include <cstddef>
#include <cstdint>

#include "head/fit.h"
#include "linalg/backend.h"

namespace coala {

/// How much a fit has to compute with.
struct FitSize {
  std::size_t rows = 0;
  std::size_t sides = 1;  ///< responses of a row: 2 for pairs
  std::size_t dimension = 0;
  std::uint64_t feature_bytes = 0;  ///< of all responses, as they are stored
};

FitSize size_of(const FeatureSet& set);

/// What the gated program needs of a device's memory, about: the features once, a pattern and vectors for all rows and
/// for each fold.
/// Nothing where there is no such program.
std::uint64_t device_bytes(const FitSize& size, const FitSettings& settings);

/// Has the backend room for the fit?
/// @throws Error{BadUsage} with what is needed and what there is
void check_device_room(const FitSize& size, const FitSettings& settings, Backend& backend);

}  // namespace coala
