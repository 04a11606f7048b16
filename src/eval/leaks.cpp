#include "eval/leaks.h"

#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/hash.h"
#include "core/random.h"

namespace coala {
namespace {

constexpr std::size_t kLeastDimension = 8;
constexpr double kNear = 0.02;  ///< distance of near duplicates, as a share of the distance from the mean

std::vector<const StoredRows*> sides_of(const FeatureSet& set) {
  if (set.kind == FeatureKind::Labelled) return {&set.features};
  return {&set.chosen, &set.rejected};
}

std::uint64_t hash_of(const std::vector<float>& row) {
  return hash64({reinterpret_cast<const char*>(row.data()), row.size() * sizeof(float)});
}

/// Rows whose centred directions agree share a bucket in one of eight tables with high probability. A bit is the side
/// of a random plane over a few columns, so a row costs a few hundred additions whatever the dimension.
class NearRows {
 public:
  explicit NearRows(const FeatureSet& train) : sides_(sides_of(train)), mean_(train.dimension()) {
    const std::size_t d = mean_.size();
    double count = 0;
    for (const StoredRows* side : sides_) count += static_cast<double>(side->rows());
    std::vector<float> row(d);
    for (const StoredRows* side : sides_) {
      for (std::size_t i = 0; i < side->rows(); ++i) {
        side->read(i, 0, std::span<float>(row));
        for (std::size_t j = 0; j < d; ++j) mean_[j] += static_cast<double>(row[j]) / count;
      }
    }
    Random random(0);
    for (auto& table : planes_) {
      for (auto& plane : table) {
        for (Entry& entry : plane) entry = {random.below(d), random.below(2) == 0 ? 1.0 : -1.0};
      }
    }
    for (std::size_t s = 0; s < sides_.size(); ++s) {
      for (std::size_t i = 0; i < sides_[s]->rows(); ++i) {
        sides_[s]->read(i, 0, std::span<float>(row));
        const std::array<std::uint32_t, kTables> keys = keys_of(row);
        for (std::size_t t = 0; t < kTables; ++t) {
          auto& bucket = buckets_[t][keys[t]];
          if (bucket.size() < kMostCandidates) bucket.push_back({s, i});
        }
      }
    }
  }

  bool has_near(const std::vector<float>& row) const {
    double length = 0;
    for (std::size_t j = 0; j < row.size(); ++j) length += square(static_cast<double>(row[j]) - mean_[j]);
    std::vector<float> other(row.size());
    const std::array<std::uint32_t, kTables> keys = keys_of(row);
    for (std::size_t t = 0; t < kTables; ++t) {
      const auto bucket = buckets_[t].find(keys[t]);
      if (bucket == buckets_[t].end()) continue;
      for (const auto& [side, i] : bucket->second) {
        sides_[side]->read(i, 0, std::span<float>(other));
        double distance = 0;
        for (std::size_t j = 0; j < row.size() && distance <= square(kNear) * length; ++j) {
          distance += square(static_cast<double>(row[j]) - static_cast<double>(other[j]));
        }
        if (distance <= square(kNear) * length) return true;
      }
    }
    return false;
  }

 private:
  static constexpr std::size_t kTables = 8;
  static constexpr std::size_t kBits = 16;
  static constexpr std::size_t kColumns = 16;
  static constexpr std::size_t kMostCandidates = 16;
  struct Entry {
    std::size_t column;
    double sign;
  };
  struct Place {
    std::size_t side;
    std::size_t row;
  };

  static double square(double x) { return x * x; }

  std::array<std::uint32_t, kTables> keys_of(const std::vector<float>& row) const {
    std::array<std::uint32_t, kTables> keys{};
    for (std::size_t t = 0; t < kTables; ++t) {
      for (const auto& plane : planes_[t]) {
        double sum = 0;
        for (const Entry& entry : plane)
          sum += entry.sign * (static_cast<double>(row[entry.column]) - mean_[entry.column]);
        keys[t] = 2 * keys[t] + (sum > 0 ? 1 : 0);
      }
    }
    return keys;
  }

  std::vector<const StoredRows*> sides_;
  std::vector<double> mean_;
  std::array<std::array<std::array<Entry, kColumns>, kBits>, kTables> planes_;
  std::array<std::unordered_map<std::uint32_t, std::vector<Place>>, kTables> buckets_;
};

}  // namespace

Leaks find_leaks(const FeatureSet& train, const FeatureSet& held_out) {
  Leaks leaks;
  if (train.has_prompt_id && held_out.has_prompt_id) {
    const std::set<std::int64_t> seen(train.prompt_id.begin(), train.prompt_id.end());
    for (const std::int64_t prompt : held_out.prompt_id) leaks.shared_prompt_rows += seen.contains(prompt) ? 1 : 0;
  }
  std::vector<float> row(train.dimension());
  std::unordered_set<std::uint64_t> known;
  for (const StoredRows* side : sides_of(train)) {
    for (std::size_t i = 0; i < side->rows(); ++i) {
      side->read(i, 0, std::span<float>(row));
      known.insert(hash_of(row));
    }
  }
  std::optional<NearRows> near_rows;
  if (train.dimension() >= kLeastDimension) near_rows.emplace(train);
  for (std::size_t i = 0; i < held_out.rows(); ++i) {
    bool identical = false;
    bool near_duplicate = false;
    for (const StoredRows* side : sides_of(held_out)) {
      side->read(i, 0, std::span<float>(row));
      identical = identical || known.contains(hash_of(row));
      near_duplicate = near_duplicate || (near_rows && near_rows->has_near(row));
    }
    leaks.identical_rows += identical ? 1 : 0;
    leaks.near_duplicate_rows += near_duplicate && !identical ? 1 : 0;
  }
  return leaks;
}

}  // namespace coala
