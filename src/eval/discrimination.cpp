#include "eval/discrimination.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <vector>

#include "eval/intervals.h"

namespace coala {
namespace {

struct Counts {
  double good = 0;
  double bad = 0;
};

Counts count(std::span<const std::int8_t> labels) {
  Counts counts;
  for (const std::int8_t label : labels) ++(label > 0 ? counts.good : counts.bad);
  return counts;
}

/// The interval of a figure to which each row contributes `influence`, when rows of a cluster depend on each other.
Estimate with_interval(double value, const std::vector<double>& influence, std::span<const std::int64_t> clusters,
                       double rarer) {
  std::map<std::int64_t, double> sums;
  for (std::size_t i = 0; i < influence.size(); ++i) sums[clusters[i]] += influence[i];
  const auto size = static_cast<double>(sums.size());
  double squares = 0;
  for (const auto& [cluster, sum] : sums) squares += sum * sum;
  // Without a row that is wrong there is no variance to see: as many trials as there are rows of the rarer label then.
  const Interval least = wilson_interval(value * rarer, rarer);
  if (size < 2 || !(squares > 0)) return {value, least};
  const double error = student_quantile(size - 1) * std::sqrt(size / (size - 1) * squares);
  return {value, {std::max(0.0, value - error), std::min(1.0, value + error)}};
}

}  // namespace

bool has_both_labels(std::span<const std::int8_t> labels) {
  const Counts counts = count(labels);
  return counts.good > 0 && counts.bad > 0;
}

double majority_share(std::span<const std::int8_t> labels) {
  const Counts counts = count(labels);
  return std::max(counts.good, counts.bad) / (counts.good + counts.bad);
}

Estimate balanced_accuracy(std::span<const double> right, std::span<const std::int8_t> labels,
                           std::span<const std::int64_t> clusters) {
  const Counts counts = count(labels);
  double good = 0;
  double bad = 0;
  for (std::size_t i = 0; i < right.size(); ++i) (labels[i] > 0 ? good : bad) += right[i];
  good /= counts.good;
  bad /= counts.bad;
  std::vector<double> influence(right.size());
  for (std::size_t i = 0; i < right.size(); ++i) {
    influence[i] = labels[i] > 0 ? (right[i] - good) / (2 * counts.good) : (right[i] - bad) / (2 * counts.bad);
  }
  return with_interval((good + bad) / 2, influence, clusters, std::min(counts.good, counts.bad));
}

Estimate area_under_curve(std::span<const double> scores, std::span<const std::int8_t> labels,
                          std::span<const std::int64_t> clusters) {
  const Counts counts = count(labels);
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] < scores[b]; });
  // Of each row: the share of rows of the other label that it is on the right side of.
  std::vector<double> component(scores.size());
  Counts below;
  double sum = 0;
  for (std::size_t first = 0; first < order.size();) {
    std::size_t last = first;
    Counts equal;
    for (; last < order.size() && scores[order[last]] == scores[order[first]]; ++last) {
      ++(labels[order[last]] > 0 ? equal.good : equal.bad);
    }
    for (std::size_t k = first; k < last; ++k) {
      const std::size_t i = order[k];
      component[i] = labels[i] > 0 ? (below.bad + equal.bad / 2) / counts.bad
                                   : (counts.good - below.good - equal.good / 2) / counts.good;
      if (labels[i] > 0) sum += component[i];
    }
    below.good += equal.good;
    below.bad += equal.bad;
    first = last;
  }
  const double area = sum / counts.good;
  for (std::size_t i = 0; i < component.size(); ++i) {
    component[i] = (component[i] - area) / (labels[i] > 0 ? counts.good : counts.bad);
  }
  return with_interval(area, component, clusters, std::min(counts.good, counts.bad));
}

}  // namespace coala
