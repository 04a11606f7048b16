#pragma once

#include <cmath>
#include <limits>

namespace coala {

/// A 95 % interval.
struct Interval {
  double low = 0;
  double high = 0;

  bool is_known() const { return !std::isnan(low) && !std::isnan(high); }
};
/// Of a figure that has none, such as one of a single prompt.
inline constexpr Interval kNoInterval{std::numeric_limits<double>::quiet_NaN(),
                                      std::numeric_limits<double>::quiet_NaN()};

/// A figure with its interval.
struct Estimate {
  double value = 0;
  Interval ci95;
};

}  // namespace coala
