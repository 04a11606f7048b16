#pragma once

namespace coala {

/// Sums over rows of weighted losses of a prediction with a bias.
struct LossSums {
  double loss = 0;
  double slope = 0;           ///< derivative in the bias
  double absolute_slope = 0;  ///< sum of the rows' |derivative|
  double curvature = 0;       ///< second derivative in the bias

  LossSums& operator+=(const LossSums& other) {
    loss += other.loss;
    slope += other.slope;
    absolute_slope += other.absolute_slope;
    curvature += other.curvature;
    return *this;
  }
};

}  // namespace coala
