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

  /// @param features  columns [first, first + features.size()); may be the same memory as `x`
  template <class T>
  void apply(std::span<const T> features, std::span<T> x, std::size_t first = 0) const {
    // In double: the difference of two large numbers of single precision may overflow it.
    for (std::size_t j = 0; j < features.size(); ++j) {
      const double difference = static_cast<double>(features[j]) - static_cast<double>(mean[first + j]);
      x[j] = static_cast<T>(difference * static_cast<double>(scale[first + j]));
    }
  }
};

}  // namespace coala
