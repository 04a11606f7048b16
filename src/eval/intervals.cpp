#include "eval/intervals.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "core/random.h"

namespace coala {
namespace {

constexpr double kNormal95 = 1.959963984540054;  // the 97.5 % quantile of the standard normal distribution

}  // namespace

Interval wilson_interval(double successes, double trials) {
  if (trials <= 0) return {0, 1};
  const double p = successes / trials;
  const double z2 = kNormal95 * kNormal95;
  const double centre = (p + z2 / (2 * trials)) / (1 + z2 / trials);
  const double half = kNormal95 * std::sqrt(p * (1 - p) / trials + z2 / (4 * trials * trials)) / (1 + z2 / trials);
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

Interval bootstrap_mean(std::span<const double> values, std::span<const std::int64_t> clusters, std::uint64_t seed) {
  std::unordered_map<std::int64_t, std::size_t> index;
  std::vector<double> sums;
  std::vector<double> counts;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto [at, added] = index.try_emplace(clusters[i], sums.size());
    if (added) {
      sums.push_back(0);
      counts.push_back(0);
    }
    sums[at->second] += values[i];
    counts[at->second] += 1;
  }
  constexpr int kResamples = 2000;
  Random random(seed);
  std::vector<double> means(kResamples);
  for (double& mean : means) {
    double sum = 0;
    double count = 0;
    for (std::size_t k = 0; k < sums.size(); ++k) {
      const auto drawn = static_cast<std::size_t>(random.below(sums.size()));
      sum += sums[drawn];
      count += counts[drawn];
    }
    mean = sum / count;
  }
  std::sort(means.begin(), means.end());
  return {means[kResamples * 25 / 1000], means[kResamples * 975 / 1000 - 1]};
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
