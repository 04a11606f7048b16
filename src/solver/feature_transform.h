#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace coala {

/// The transform of features to what a program is fitted to: x_j = (f_j - mean_j) * scale_j. A scale of 0 switches a
/// column off.
struct FeatureTransform {
  std::vector<float> mean;   ///< [d]
  std::vector<float> scale;  ///< [d]

  static FeatureTransform identity(std::size_t dimension) {
    return {std::vector<float>(dimension, 0.0f), std::vector<float>(dimension, 1.0f)};
  }

  /// In double: the difference of two large numbers of single precision may overflow it.
  /// @param features  columns [first, first + features.size()); may be the same memory as `x`
  void apply(std::span<const float> features, std::span<float> x, std::size_t first = 0) const;
  void apply(std::span<const double> features, std::span<double> x, std::size_t first = 0) const;
};

}  // namespace coala
