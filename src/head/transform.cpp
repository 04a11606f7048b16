#include "head/transform.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "core/error.h"

namespace coala {

FeatureTransform standardising_transform(const FeatureSet& set) {
  const std::size_t d = set.dimension();
  std::vector<double> mean(d);
  std::vector<double> variance(d);
  double count = 0;
  const auto for_rows = [&](const auto& visit) {
    std::vector<float> row(d);
    for (const StoredRows* side : {&set.chosen, &set.rejected, &set.features}) {
      for (std::size_t i = 0; i < side->rows(); ++i) {
        side->read(i, 0, std::span<float>(row));
        visit(row);
      }
    }
  };
  for_rows([&](const std::vector<float>& row) {
    for (std::size_t j = 0; j < d; ++j) mean[j] += static_cast<double>(row[j]);
    count += 1;
  });
  for (double& value : mean) value /= count;
  // Two passes: the sum of squares minus the square of the sum would cancel for columns far from zero.
  for_rows([&](const std::vector<float>& row) {
    for (std::size_t j = 0; j < d; ++j) {
      const double difference = static_cast<double>(row[j]) - mean[j];
      variance[j] += difference * difference;
    }
  });
  std::vector<double> deviation(d);
  for (std::size_t j = 0; j < d; ++j) deviation[j] = std::sqrt(variance[j] / count);

  std::vector<double> positive;
  std::copy_if(deviation.begin(), deviation.end(), std::back_inserter(positive), [](double s) { return s > 0; });
  double threshold = 0;
  if (!positive.empty()) {
    const auto middle = positive.begin() + static_cast<long>(positive.size() / 2);
    std::nth_element(positive.begin(), middle, positive.end());
    threshold = 1e-3 * *middle;
  }
  FeatureTransform transform{std::vector<float>(d), std::vector<float>(d)};
  for (std::size_t j = 0; j < d; ++j) {
    transform.mean[j] = static_cast<float>(mean[j]);
    transform.scale[j] = deviation[j] > threshold ? static_cast<float>(1 / deviation[j]) : 0.0f;
    if (!std::isfinite(transform.scale[j])) {
      throw Error(ErrorCode::BadInput,
                  fmt::format("{}: column {} (counted from 0) has a standard deviation of {:.1e}, too small for single "
                              "precision",
                              set.path, j, deviation[j]),
                  "scale the features up");
    }
  }
  return transform;
}

}  // namespace coala
