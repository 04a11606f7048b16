#include "train/control.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "core/random.h"

namespace coala {

void shuffle_preferences(FeatureSet& set, std::uint64_t seed) {
  Random random(seed);
  if (set.kind == FeatureKind::Labelled) {
    for (std::size_t i = set.labels.size(); i > 1; --i) {
      std::swap(set.labels[i - 1], set.labels[random.below(i)]);
    }
  } else {
    const StoredRows both = set.chosen.joined_with(set.rejected);
    const std::size_t n = set.rows();
    std::vector<std::size_t> chosen(n);
    std::vector<std::size_t> rejected(n);
    for (std::size_t i = 0; i < n; ++i) {
      const bool swap = random.uniform() >= 0.5;
      chosen[i] = swap ? n + i : i;
      rejected[i] = swap ? i : n + i;
      if (swap && !set.length_chosen.empty()) std::swap(set.length_chosen[i], set.length_rejected[i]);
    }
    set.chosen = both.subset(chosen);
    set.rejected = both.subset(rejected);
    if (set.token_basis) {
      const StoredRows sums = set.token_sums_chosen.joined_with(set.token_sums_rejected);
      set.token_sums_chosen = sums.subset(chosen);
      set.token_sums_rejected = sums.subset(rejected);
    }
  }
  set.metadata["control"] = fmt::format("shuffled preferences, seed {}", seed);
}

}  // namespace coala
