#include "solver/feature_transform.h"

#include "core/vectorise.h"

namespace coala {
namespace {

COALA_WIDEST_LANES void apply_to_floats(const float* features, const float* mean, const float* scale, std::size_t count,
                                        float* x) {
  for (std::size_t j = 0; j < count; ++j) {
    const double difference = static_cast<double>(features[j]) - static_cast<double>(mean[j]);
    x[j] = static_cast<float>(difference * static_cast<double>(scale[j]));
  }
}

}  // namespace

void FeatureTransform::apply(std::span<const float> features, std::span<float> x, std::size_t first) const {
  apply_to_floats(features.data(), mean.data() + first, scale.data() + first, features.size(), x.data());
}

void FeatureTransform::apply(std::span<const double> features, std::span<double> x, std::size_t first) const {
  for (std::size_t j = 0; j < features.size(); ++j) {
    x[j] = (features[j] - static_cast<double>(mean[first + j])) * static_cast<double>(scale[first + j]);
  }
}

}  // namespace coala
