#include "features/length_difference.h"

#include <cmath>

namespace coala {

std::vector<double> bounded_length_difference(const FeatureSet& set) {
  std::vector<double> difference(set.rows());
  double squares = 0;
  for (std::size_t i = 0; i < difference.size(); ++i) {
    difference[i] = static_cast<double>(set.length_chosen[i]) - set.length_rejected[i];
    squares += difference[i] * difference[i];
  }
  const double scale = squares > 0 ? std::sqrt(static_cast<double>(difference.size()) / squares) : 0;
  for (double& value : difference) value = std::tanh(scale * value);
  return difference;
}

}  // namespace coala
