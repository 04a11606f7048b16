#include "eval/order_statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace coala {

MeanWithError mean_with_error(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  MeanWithError result;
  for (const double value : values) result.mean += value;
  result.mean /= n;
  if (values.size() < 2) {
    result.standard_error = std::numeric_limits<double>::quiet_NaN();
    return result;
  }
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  result.standard_error = std::sqrt(squares / (n - 1) / n);
  return result;
}

double quantile(std::span<const double> values, double q) {
  std::vector<double> sorted(values.begin(), values.end());
  std::ranges::sort(sorted);
  const double place = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace coala
