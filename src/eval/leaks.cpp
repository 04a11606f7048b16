#include "eval/leaks.h"

#include <optional>
#include <set>
#include <unordered_set>
#include <vector>

#include "core/hash.h"
#include "eval/near_rows.h"

namespace coala {
namespace {

constexpr std::size_t kLeastDimension = 8;

std::vector<StoredRows> sides_of(const FeatureSet& set) {
  if (set.kind == FeatureKind::Labelled) return {set.features};
  return {set.chosen, set.rejected};
}

std::uint64_t hash_of(const std::vector<float>& row) {
  return hash64({reinterpret_cast<const char*>(row.data()), row.size() * sizeof(float)});
}

}  // namespace

Leaks find_leaks(const FeatureSet& train, const FeatureSet& held_out) {
  Leaks leaks;
  if (train.has_prompt_id && held_out.has_prompt_id) {
    const std::set<std::int64_t> seen(train.prompt_id.begin(), train.prompt_id.end());
    for (const std::int64_t prompt : held_out.prompt_id) leaks.shared_prompt_rows += seen.contains(prompt) ? 1 : 0;
  }
  std::vector<float> row(train.dimension());
  std::unordered_set<std::uint64_t> known;
  const std::vector<StoredRows> train_sides = sides_of(train);
  for (const StoredRows& side : train_sides) {
    for (std::size_t i = 0; i < side.rows(); ++i) {
      side.read(i, 0, std::span<float>(row));
      known.insert(hash_of(row));
    }
  }
  std::vector<bool> identical(held_out.rows());
  std::vector<bool> near(held_out.rows());
  std::optional<NearRows> near_rows;
  if (train.dimension() >= kLeastDimension && train.rows() > 0) near_rows.emplace(train_sides);
  for (const StoredRows& side : sides_of(held_out)) {
    const std::vector<bool> found = near_rows ? near_rows->near(side) : std::vector<bool>(side.rows());
    for (std::size_t i = 0; i < side.rows(); ++i) {
      side.read(i, 0, std::span<float>(row));
      identical[i] = identical[i] || known.contains(hash_of(row));
      near[i] = near[i] || found[i];
    }
  }
  for (std::size_t i = 0; i < held_out.rows(); ++i) {
    leaks.identical_rows += identical[i] ? 1 : 0;
    leaks.near_duplicate_rows += near[i] && !identical[i] ? 1 : 0;
  }
  return leaks;
}

}  // namespace coala
