#pragma once

#include <cstdint>
#include <vector>

#include "core/metric.h"

namespace coala {

/// A figure of several runs.
struct SpreadMetrics {
  double mean = 0;
  double deviation = 0;
  std::vector<double> values;

  static constexpr MetricTable kTable{"Spread", "A figure of several runs."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "mean", .about = "mean of the runs", .unit = "share"}, self.mean);
    add(Metric{.key = "deviation", .about = "standard deviation (of n - 1)", .unit = "share"}, self.deviation);
    add(Metric{.key = "values", .about = "the figure of each run", .unit = "share"}, self.values);
  }
};

/// Runs that differ by their seed alone.
struct SeedMetrics {
  std::vector<std::uint64_t> seeds;
  SpreadMetrics accuracy;
  SpreadMetrics logistic_accuracy;
  SpreadMetrics difference;
  double seconds = 0;

  static constexpr MetricTable kTable{"Seeds", "Runs that differ by their seed alone."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "seeds", .about = "seeds of the runs"}, self.seeds);
    add(Metric{.key = "accuracy", .about = "accuracy of the head"}, self.accuracy);
    add(Metric{.key = "logistic_accuracy", .about = "accuracy of logistic regression"}, self.logistic_accuracy);
    add(Metric{.key = "difference", .about = "accuracy of the head less that of logistic regression"}, self.difference);
    add(Metric{.key = "seconds", .about = "wall-clock time of all runs but the first", .unit = "s"}, self.seconds);
  }
};

}  // namespace coala
