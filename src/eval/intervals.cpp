#include "eval/intervals.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/random.h"

namespace coala {
namespace {

constexpr double kNormal95 = 1.959963984540054;  // the 97.5 % quantile of the standard normal distribution

Interval wilson(double p, double trials, double z) {
  const double z2 = z * z;
  const double centre = (p + z2 / (2 * trials)) / (1 + z2 / trials);
  const double half = z * std::sqrt(p * (1 - p) / trials + z2 / (4 * trials * trials)) / (1 + z2 / trials);
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

/// Sums and counts of the clusters' values.
struct ClusterSums {
  std::vector<double> sum;
  std::vector<double> count;

  ClusterSums(std::span<const double> values, std::span<const std::int64_t> clusters) {
    std::unordered_map<std::int64_t, std::size_t> index;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto [at, added] = index.try_emplace(clusters[i], sum.size());
      if (added) {
        sum.push_back(0);
        count.push_back(0);
      }
      sum[at->second] += values[i];
      count[at->second] += 1;
    }
  }
};

/// Of a ratio of sums over independent clusters, to the first order.
double standard_error(const ClusterSums& sums, double mean) {
  double squares = 0;
  double count = 0;
  for (std::size_t k = 0; k < sums.sum.size(); ++k) {
    const double deviation = sums.sum[k] - mean * sums.count[k];
    squares += deviation * deviation;
    count += sums.count[k];
  }
  return std::sqrt(squares) / count;
}

/// Of a mean over clusters, without the bias of few of them.
double cluster_variance(const ClusterSums& sums, double mean) {
  const auto clusters = static_cast<double>(sums.sum.size());
  if (clusters < 2) return std::numeric_limits<double>::infinity();
  const double error = standard_error(sums, mean);
  return clusters / (clusters - 1) * error * error;
}

/// Between 0 and 1 values may differ less than wins and losses do: then rows count for more than one trial each.
constexpr double kUnlimited = std::numeric_limits<double>::infinity();

/// Wilson's interval with as many trials as independent rows would need to give the mean p of n rows this variance.
Interval wilson_by_variance(double p, double n, double variance, double clusters) {
  if (clusters < 2) return {0, 1};
  // Rows that are all alike say nothing about how they depend on each other: then a cluster counts once.
  const double trials = variance > 0 ? std::min(n, p * (1 - p) / variance) : clusters;
  return wilson(p, trials, student_quantile(clusters - 1));
}

}  // namespace

std::optional<double> if_finite(double value) {
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

double mean_of(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double student_quantile(double freedom) {
  if (freedom < 2) return 12.706;
  if (freedom < 3) return 4.303;
  // The expansion about the normal quantile (Abramowitz & Stegun 26.7.5): three digits from here on.
  const double z = kNormal95;
  return z + (z * z * z + z) / (4 * freedom) +
         (5 * std::pow(z, 5) + 16 * z * z * z + 3 * z) / (96 * freedom * freedom) +
         (3 * std::pow(z, 7) + 19 * std::pow(z, 5) + 17 * z * z * z - 15 * z) / (384 * std::pow(freedom, 3));
}

Interval wilson_interval(double successes, double trials) {
  if (trials <= 0) return {0, 1};
  return wilson(successes / trials, trials, kNormal95);
}

Interval wald_interval(double successes, double trials) {
  if (trials <= 0) return {0, 1};
  const double p = successes / trials;
  const double half = kNormal95 * std::sqrt(p * (1 - p) / trials);
  return {p - half, p + half};
}

Interval clustered_proportion(std::span<const double> values, std::span<const std::int64_t> clusters) {
  const ClusterSums sums(values, clusters);
  const double p = mean_of(values);
  return wilson_by_variance(p, static_cast<double>(values.size()), cluster_variance(sums, p),
                            static_cast<double>(sums.sum.size()));
}

Interval rate_interval(std::span<const double> values, std::span<const std::int64_t> clusters) {
  const ClusterSums sums(values, clusters);
  const auto count = static_cast<double>(sums.sum.size());
  if (count < 2) return kNoInterval;
  const double p = mean_of(values);
  return wilson_by_variance(p, kUnlimited, cluster_variance(sums, p), count);
}

namespace {

struct TwoWay {
  double variance = 0;
  double clusters = 0;  ///< the fewer of the two kinds
};

TwoWay two_way(std::span<const double> values, double mean, std::span<const std::int64_t> first,
               std::span<const std::int64_t> second) {
  std::map<std::pair<std::int64_t, std::int64_t>, std::int64_t> cells;
  std::vector<std::int64_t> both;
  for (std::size_t i = 0; i < values.size(); ++i) {
    both.push_back(cells.try_emplace({first[i], second[i]}, static_cast<std::int64_t>(cells.size())).first->second);
  }
  const ClusterSums by_first(values, first);
  const ClusterSums by_second(values, second);
  const auto clusters = static_cast<double>(std::min(by_first.sum.size(), by_second.sum.size()));
  if (clusters < 2) return {std::numeric_limits<double>::infinity(), clusters};
  const double by_cell = cluster_variance(ClusterSums(values, both), mean);
  const double by_either = cluster_variance(by_first, mean) + cluster_variance(by_second, mean) - by_cell;
  return {std::max(by_either, by_cell), clusters};
}

}  // namespace

double two_way_variance(std::span<const double> values, std::span<const std::int64_t> first,
                        std::span<const std::int64_t> second) {
  return two_way(values, mean_of(values), first, second).variance;
}

Interval two_way_proportion(std::span<const double> values, std::span<const std::int64_t> first,
                            std::span<const std::int64_t> second) {
  const double p = mean_of(values);
  const TwoWay spread = two_way(values, p, first, second);
  return wilson_by_variance(p, static_cast<double>(values.size()), spread.variance, spread.clusters);
}

Interval two_way_rate(std::span<const double> values, std::span<const std::int64_t> first,
                      std::span<const std::int64_t> second) {
  const double p = mean_of(values);
  const TwoWay spread = two_way(values, p, first, second);
  return wilson_by_variance(p, kUnlimited, spread.variance, spread.clusters);
}

Interval proportion_interval(std::span<const double> values, std::span<const std::int64_t> clusters) {
  const std::unordered_set<std::int64_t> prompts(clusters.begin(), clusters.end());
  if (prompts.size() < values.size()) return clustered_proportion(values, clusters);
  return wilson_interval(std::accumulate(values.begin(), values.end(), 0.0), static_cast<double>(values.size()));
}

Interval bootstrap_mean(std::span<const double> values, std::span<const std::int64_t> clusters, std::uint64_t seed) {
  const ClusterSums sums(values, clusters);
  if (sums.sum.size() < 2) return kNoInterval;
  constexpr std::size_t kMany = 20'000;
  if (sums.sum.size() > kMany) {
    const double mean = mean_of(values);
    const double error = kNormal95 * standard_error(sums, mean);
    return {mean - error, mean + error};
  }
  constexpr int kResamples = 2000;
  Random random(seed);
  std::vector<double> means(kResamples);
  for (double& mean : means) {
    double sum = 0;
    double count = 0;
    for (std::size_t k = 0; k < sums.sum.size(); ++k) {
      const auto drawn = static_cast<std::size_t>(random.below(sums.sum.size()));
      sum += sums.sum[drawn];
      count += sums.count[drawn];
    }
    mean = sum / count;
  }
  std::sort(means.begin(), means.end());
  const double mean = mean_of(values);
  const auto prompts = static_cast<double>(sums.sum.size());
  const double widening = student_quantile(prompts - 1) / kNormal95 * std::sqrt(prompts / (prompts - 1));
  // No further than the values reach: what lies in 0 to 1 has its mean there too.
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return {std::max(*least, mean + widening * (means[kResamples * 25 / 1000] - mean)),
          std::min(*most, mean + widening * (means[kResamples * 975 / 1000 - 1] - mean))};
}

double sign_test(std::uint64_t first, std::uint64_t second) {
  const std::uint64_t n = first + second;
  if (n == 0) return 1;
  const std::uint64_t fewer = std::min(first, second);
  double tail = 0;
  for (std::uint64_t k = 0; k <= fewer; ++k) {
    const double log_term = std::lgamma(static_cast<double>(n) + 1) - std::lgamma(static_cast<double>(k) + 1) -
                            std::lgamma(static_cast<double>(n - k) + 1) - static_cast<double>(n) * std::log(2.0);
    tail += std::exp(log_term);
  }
  return std::min(1.0, 2 * tail);
}

double correlation(std::span<const double> x, std::span<const double> y) {
  // Told by comparison: the mean of a constant may round, and the sums of squares below would then not be zero.
  const auto constant = [](std::span<const double> values) {
    return std::all_of(values.begin(), values.end(), [&](double value) { return value == values.front(); });
  };
  if (constant(x) || constant(y)) return std::numeric_limits<double>::quiet_NaN();
  const auto n = static_cast<double>(x.size());
  double mean_x = 0;
  double mean_y = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    mean_x += x[i] / n;
    mean_y += y[i] / n;
  }
  double xx = 0;
  double yy = 0;
  double xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mean_x) * (x[i] - mean_x);
    yy += (y[i] - mean_y) * (y[i] - mean_y);
    xy += (x[i] - mean_x) * (y[i] - mean_y);
  }
  if (!(xx > 0) || !(yy > 0)) return std::numeric_limits<double>::quiet_NaN();
  return xy / std::sqrt(xx * yy);
}

}  // namespace coala
