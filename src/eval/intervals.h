#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace coala {

/// A 95 % interval.
struct Interval {
  double low = 0;
  double high = 0;
};

/// Wilson's score interval of a proportion: `successes` of `trials` (halves for ties are allowed).
Interval wilson_interval(double successes, double trials);

/// Percentile bootstrap of a mean, resampling whole clusters (prompts): values of one prompt depend on each other.
/// @param clusters  [n], rows with the same number belong together
Interval bootstrap_mean(std::span<const double> values, std::span<const std::int64_t> clusters, std::uint64_t seed);

/// Exact two-sided sign test: probability, if both were equally likely, of a split at least as uneven as this one.
/// For paired comparisons of two classifiers (McNemar) the counts are the rows that only one of them gets right.
double sign_test(std::uint64_t first, std::uint64_t second);

/// Pearson's correlation; NaN when one side is constant.
double correlation(std::span<const double> x, std::span<const double> y);

}  // namespace coala
