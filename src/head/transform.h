#pragma once

#include <vector>

#include "features/feature_set.h"

namespace coala {

/// The feature transform of a head: x_j = (f_j - mean_j) * scale_j. A scale of 0 switches a column off.
struct FeatureTransform {
  std::vector<float> mean;   ///< [d]
  std::vector<float> scale;  ///< [d]

  static FeatureTransform identity(std::size_t dimension);
  /// Standardises to mean 0 and standard deviation 1 over all rows of the set. Constant and nearly constant columns
  /// (standard deviation below a thousandth of the median one) are switched off: scaled up they would be noise.
  /// @throws Error{BadInput} when a column varies by less than single precision can scale up
  static FeatureTransform standardising(const FeatureSet& set);

  void apply(std::span<const float> features, std::span<float> x) const;
  /// In place on every row.
  void apply(Matrix<float>& rows) const;
};

}  // namespace coala
