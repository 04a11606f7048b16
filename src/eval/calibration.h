#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace coala {

/// How often predictions of one confidence are right.
struct ReliabilityBin {
  double low = 0;  ///< confidences [low, high)
  double high = 0;
  std::uint64_t rows = 0;
  double confidence = 0;  ///< mean of the rows
  double accuracy = 0;    ///< share of the rows that are right, a tie counting half
};

/// Ten bins over [1/2, 1], and the expected calibration error: the mean over rows of |confidence - accuracy| of a bin.
struct Reliability {
  std::vector<ReliabilityBin> bins;
  double expected_error = 0;
};

struct Calibration {
  double temperature = 1;  ///< fitted on all rows: sigmoid(margin / temperature) is the calibrated probability
  Reliability raw;         ///< of sigmoid(margin)
  Reliability scaled;      ///< each half of the prompts with the temperature of the other half
};

/// The temperature with the lowest log loss, within [1/1000, 1000]: margins that are all on the right side would have
/// it at zero, margins that say nothing at infinity. 1 when there is no margin but zero.
double fit_temperature(std::span<const double> margins);

/// @param margins  of rows that the scorer has not seen: by how much the right answer is ahead, negative when it is
///                 behind, [n]
/// @param prompts  [n], rows of one prompt have the same number
Calibration calibrate(std::span<const double> margins, std::span<const std::int64_t> prompts, std::uint64_t seed);

}  // namespace coala
