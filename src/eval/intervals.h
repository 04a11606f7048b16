#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "core/estimate.h"

namespace coala {

/// NaN of none.
double mean_of(std::span<const double> values);

/// What is not a number, or not finite, is not known.
std::optional<double> if_finite(double value);

/// Student's 97.5 % quantile with so many degrees of freedom, >= 1.
double student_quantile(double freedom);

/// Wilson's score interval of a proportion: `successes` of `trials` (halves for ties are allowed).
Interval wilson_interval(double successes, double trials);

/// Wald's interval p -+ z sqrt(p (1 - p) / n), which papers print: too short for few trials and near 0 and 1, and not
/// cut there. [0, 1] without a trial.
Interval wald_interval(double successes, double trials);

/// Wilson's interval when rows of one prompt depend on each other: with as many trials as independent rows would need
/// to give the mean this variance between prompts, and Student's quantile for the number of prompts.
/// @param values    [n], 0, 1, or 1/2 for a tie that counts half
/// @param clusters  [n], rows with the same number belong together
Interval clustered_proportion(std::span<const double> values, std::span<const std::int64_t> clusters);

/// The interval of a share of rows: Wilson's, clustered when prompts repeat.
Interval proportion_interval(std::span<const double> values, std::span<const std::int64_t> clusters);

/// The interval of a mean of values from 0 to 1 over prompts: clustered_proportion(), whose ends stay within, and which
/// a rate of 0 or 1 does not make a point. None (NaN) for a single prompt, which says nothing of how prompts differ.
Interval rate_interval(std::span<const double> values, std::span<const std::int64_t> clusters);

/// The variance of a mean whose rows depend on each other in two ways, those of a prompt and those of a rater: between
/// the one kind of clusters, and between the other, less that between cells of both (Cameron, Gelbach and Miller 2011),
/// at least that between cells. Infinite with fewer than two clusters of a kind.
/// @param first, second  [n], rows with the same number belong together
double two_way_variance(std::span<const double> values, std::span<const std::int64_t> first,
                        std::span<const std::int64_t> second);

/// clustered_proportion() with two_way_variance().
Interval two_way_proportion(std::span<const double> values, std::span<const std::int64_t> first,
                            std::span<const std::int64_t> second);

/// rate_interval() with two_way_variance().
Interval two_way_rate(std::span<const double> values, std::span<const std::int64_t> first,
                      std::span<const std::int64_t> second);

/// Bootstrap of a mean, resampling whole clusters (prompts): values of one prompt depend on each other. The
/// percentiles' distances from the mean are widened as Student's interval is, without which few prompts are covered too
/// rarely. One prompt alone says nothing of how prompts differ: no interval (NaN). Of more than 20,000 clusters the
/// normal interval that the percentiles come to: 2,000 resamples of a million rows take half a minute.
Interval bootstrap_mean(std::span<const double> values, std::span<const std::int64_t> clusters, std::uint64_t seed);

/// Exact two-sided sign test: probability, if both were equally likely, of a split at least as uneven as this one.
/// For paired comparisons of two classifiers (McNemar) the counts are the rows that only one of them gets right.
double sign_test(std::uint64_t first, std::uint64_t second);

/// Pearson's correlation; NaN when one side is constant.
double correlation(std::span<const double> x, std::span<const double> y);

}  // namespace coala
