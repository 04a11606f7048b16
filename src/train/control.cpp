#include "train/control.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/random.h"

namespace coala {

void shuffle_preferences(FeatureSet& set, std::uint64_t seed) {
  Random random(seed);
  if (set.kind == FeatureKind::Labelled) {
    for (std::size_t i = set.labels.size(); i > 1; --i) {
      std::swap(set.labels[i - 1], set.labels[random.below(i)]);
    }
  } else {
    for (std::size_t i = 0; i < set.rows(); ++i) {
      if (random.uniform() < 0.5) continue;
      std::ranges::swap_ranges(set.chosen.row(i), set.rejected.row(i));
      if (!set.length_chosen.empty()) std::swap(set.length_chosen[i], set.length_rejected[i]);
    }
  }
  set.metadata["control"] = fmt::format("shuffled preferences, seed {}", seed);
}

}  // namespace coala
