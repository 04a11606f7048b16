#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/metric.h"

namespace coala {

/// How often predictions of one confidence are right.
struct ReliabilityBin {
  double low = 0;  ///< confidences [low, high)
  double high = 0;
  std::uint64_t rows = 0;
  std::optional<double> confidence;  ///< mean of the rows; absent without any
  std::optional<double> accuracy;    ///< share of the rows that are right, a tie counting half; absent without any

  static constexpr MetricTable kTable{"Reliability bin", "How often predictions of one confidence are right."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    constexpr const char* kWhen = "some row is in the bin";
    add(Metric{.key = "low", .about = "lowest confidence of the bin", .unit = "probability"}, self.low);
    add(Metric{.key = "high", .about = "highest, which only the last bin has", .unit = "probability"}, self.high);
    add(Metric{.key = "rows", .about = "rows with such a confidence", .unit = "rows"}, self.rows);
    add(Metric{.key = "confidence", .about = "their mean confidence", .unit = "probability", .when = kWhen},
        self.confidence);
    add(Metric{.key = "accuracy",
               .about = "the share of them that is right, a tie counting half",
               .unit = "share",
               .when = kWhen},
        self.accuracy);
  }
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
