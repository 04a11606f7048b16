#pragma once

#include <cstdint>
#include <span>

#include "core/estimate.h"

namespace coala {

// What labelled rows are judged by when one label is rare: always giving the other one is then often right. All of them
// need rows of both labels.

/// Whether there are rows of both labels, -1 and +1.
bool has_both_labels(std::span<const std::int8_t> labels);

/// The share of rows with the more frequent label: the accuracy of whoever always gives it.
double majority_share(std::span<const std::int8_t> labels);

/// Mean of the accuracies among good and among bad rows; 1/2 for whoever always gives one label.
/// @param right     [n], 1 or 0
/// @param clusters  [n], rows with the same number (prompt) belong together
Estimate balanced_accuracy(std::span<const double> right, std::span<const std::int8_t> labels,
                           std::span<const std::int64_t> clusters);

/// The probability that a good row scores higher than a bad one, ties half (the area under the ROC curve), with the
/// interval of clustered rows (Obuchowski 1997, DeLong's components summed by cluster).
Estimate area_under_curve(std::span<const double> scores, std::span<const std::int8_t> labels,
                          std::span<const std::int64_t> clusters);

}  // namespace coala
