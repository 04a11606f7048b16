#include "tally/agreement.h"

#include <cmath>
#include <functional>
#include <limits>
#include <map>

#include "core/random.h"
#include "eval/order_statistics.h"

namespace coala {
namespace {

using Table = std::vector<double>;  ///< [categories * categories], adds up over units
using Statistic = std::function<double(const Table&)>;

/// The statistic of all prompts' tables together, and percentiles over draws of whole prompts.
Estimate bootstrap(const std::map<std::int64_t, Table>& tables, std::size_t size, const Statistic& statistic,
                   std::uint64_t seed) {
  constexpr int kResamples = 1000;
  const auto sum = [size](const std::vector<const Table*>& parts) {
    Table total(size, 0.0);
    for (const Table* part : parts) {
      for (std::size_t k = 0; k < size; ++k) total[k] += (*part)[k];
    }
    return total;
  };
  std::vector<const Table*> all;
  for (const auto& [prompt, table] : tables) all.push_back(&table);
  if (all.empty()) return {std::numeric_limits<double>::quiet_NaN(), kNoInterval};
  if (all.size() < 2) return {statistic(sum(all)), kNoInterval};
  Random random(seed);
  std::vector<double> values;
  for (int k = 0; k < kResamples; ++k) {
    std::vector<const Table*> drawn;
    for (std::size_t i = 0; i < all.size(); ++i) drawn.push_back(all[random.below(all.size())]);
    const double value = statistic(sum(drawn));
    if (!std::isnan(value)) values.push_back(value);
  }
  const double value = statistic(sum(all));
  if (values.empty()) return {value, kNoInterval};
  return {value, {quantile(values, 0.025), quantile(values, 0.975)}};
}

}  // namespace

Estimate cohen_kappa(const Ratings& ratings, std::size_t first, std::size_t second, std::uint64_t seed) {
  const auto q = static_cast<std::size_t>(ratings.categories);
  std::map<std::int64_t, Table> tables;
  for (std::size_t u = 0; u < ratings.units.size(); ++u) {
    const int a = ratings.units[u][first];
    const int b = ratings.units[u][second];
    if (a < 0 || b < 0) continue;
    Table& table = tables.try_emplace(ratings.prompts[u], q * q, 0.0).first->second;
    table[static_cast<std::size_t>(a) * q + static_cast<std::size_t>(b)] += 1;
  }
  const auto kappa = [q](const Table& table) {
    double n = 0;
    double agreed = 0;
    std::vector<double> rows(q, 0.0);
    std::vector<double> columns(q, 0.0);
    for (std::size_t a = 0; a < q; ++a) {
      for (std::size_t b = 0; b < q; ++b) {
        const double count = table[a * q + b];
        n += count;
        rows[a] += count;
        columns[b] += count;
        if (a == b) agreed += count;
      }
    }
    double chance = 0;
    for (std::size_t a = 0; a < q; ++a) chance += rows[a] * columns[a] / (n * n);
    return chance < 1 ? (agreed / n - chance) / (1 - chance) : std::numeric_limits<double>::quiet_NaN();
  };
  return bootstrap(tables, q * q, kappa, seed);
}

Estimate krippendorff_alpha(const Ratings& ratings, CategoryDistance distance, std::uint64_t seed) {
  const auto q = static_cast<std::size_t>(ratings.categories);
  std::map<std::int64_t, Table> tables;
  for (std::size_t u = 0; u < ratings.units.size(); ++u) {
    std::vector<std::size_t> given;
    for (const int rating : ratings.units[u]) {
      if (rating >= 0) given.push_back(static_cast<std::size_t>(rating));
    }
    if (given.size() < 2) continue;
    Table& table = tables.try_emplace(ratings.prompts[u], q * q, 0.0).first->second;
    for (std::size_t a = 0; a < given.size(); ++a) {
      for (std::size_t b = 0; b < given.size(); ++b) {
        if (a != b) table[given[a] * q + given[b]] += 1 / static_cast<double>(given.size() - 1);
      }
    }
  }
  const auto alpha = [q, distance](const Table& coincidences) {
    double n = 0;
    std::vector<double> margin(q, 0.0);
    for (std::size_t a = 0; a < q; ++a) {
      for (std::size_t b = 0; b < q; ++b) margin[a] += coincidences[a * q + b];
      n += margin[a];
    }
    double observed = 0;
    double expected = 0;
    for (std::size_t a = 0; a < q; ++a) {
      for (std::size_t b = 0; b < q; ++b) {
        const double apart = static_cast<double>(a) - static_cast<double>(b);
        const double d = distance == CategoryDistance::Interval ? apart * apart : (a == b ? 0 : 1);
        observed += coincidences[a * q + b] * d;
        expected += margin[a] * margin[b] * d / (n - 1);
      }
    }
    return expected > 0 ? 1 - observed / expected : std::numeric_limits<double>::quiet_NaN();
  };
  return bootstrap(tables, q * q, alpha, seed);
}

}  // namespace coala
