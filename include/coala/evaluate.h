#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "coala/api.h"
#include "coala/features.h"
#include "coala/head.h"

namespace coala::v1 {

/// A figure with its 95 % interval.
struct Estimate {
  double value = 0;
  double low = 0;
  double high = 0;
};

/// How good a head is on rows that it was not trained on.
struct Evaluation {
  std::size_t rows = 0;
  std::size_t ties = 0;                 ///< rows that it cannot decide; they count as wrong
  Estimate accuracy = {};               ///< share of rows that it gets right; rows of one prompt are not independent
  Estimate loss = {};                   ///< nats per row
  std::optional<Estimate> margin = {};  ///< pairs: how far chosen is ahead, mean
  std::optional<Estimate> longer = {};  ///< pairs with lengths: accuracy of "the longer answer wins"
  std::optional<Estimate> area = {};    ///< labelled rows of both labels: area under the ROC curve
  std::string json = {};                ///< all metrics, as in metrics.json: calibration, length control, ...
};

/// @param seed  of the bootstrap
/// @throws what score() throws
COALA_API Evaluation evaluate(const Head& head, const Features& features, std::uint64_t seed = 0);

}  // namespace coala::v1
