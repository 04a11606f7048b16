#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/estimate.h"

namespace coala {

/// What raters said of the same things: `units[u][r]` is the category, from 0, that rater r gave to thing u, or
/// negative where there is none.
struct Ratings {
  std::vector<std::vector<int>> units;
  std::vector<std::int64_t> prompts;  ///< [units], things of one prompt depend on each other
  int categories = 0;
};

/// Cohen's kappa (1960) of two raters over the units that both rated; NaN when there is none, or when both gave one and
/// the same category throughout. The interval is a bootstrap over prompts.
Estimate cohen_kappa(const Ratings& ratings, std::size_t first, std::size_t second, std::uint64_t seed);

/// How far two categories are apart.
enum class CategoryDistance {
  Nominal,   ///< different is different
  Interval,  ///< the square of the difference, for marks
};

/// Krippendorff's alpha (2004) of any number of raters with gaps, over units with two ratings at least; NaN when there
/// is none, or when all ratings are the same. The interval is a bootstrap over prompts.
Estimate krippendorff_alpha(const Ratings& ratings, CategoryDistance distance, std::uint64_t seed);

}  // namespace coala
