#include "solver/gram_cost.h"

#include "linalg/gated_kernels.h"

namespace coala {
namespace {

// Rates of one thread, measured by bench/gram.cpp in single precision on the machine of docs/benchmarks.md and rounded.
// Only their ratios matter, and these differ less between machines than the rates do: products run at the speed of the
// arithmetic, passes and applications at that of the caches.
constexpr double kPassRow = 5e-9;          ///< s per row of a pass
constexpr double kPassRowTable = 1.2e-9;   ///< s per row and table: picking its entry
constexpr double kPassNumber = 0.03e-9;    ///< s per number of X: reading it
constexpr double kPassTable = 0.038e-9;    ///< s per number of X and table: adding and spreading
constexpr double kTableNumber = 0.2e-9;    ///< s per number of the tables, filled and collected once per pass
constexpr double kProductFlop = 0.011e-9;  ///< s per operation of the products of compacted rows
constexpr double kGatherRow = 0.5e-9;      ///< s per row and pair of gates: finding out whether it is open in both
constexpr double kGatherNumber = 0.15e-9;  ///< s per number of a row that is copied for a product
constexpr double kSumNumber = 0.3e-9;      ///< s per number of a block, added up in double once per kRowsOfASum rows
constexpr double kRowsOfASum = 1024;       ///< of solver/normal_operator.cpp
constexpr double kGramNumber = 0.15e-9;    ///< s per number of the blocks in an application, out of a cache
constexpr double kGramNumberFar = 0.4e-9;  ///< the same out of memory
constexpr double kCacheBytes = 10e6;       ///< above it, memory; of a third-level cache that others use as well

/// The blocks must stay a small part of what is in memory anyway.
constexpr double kMostOfX = 0.5;

}  // namespace

NormalCost normal_cost(const NormalWork& work) {
  const auto n = static_cast<double>(work.rows);
  const auto d = static_cast<double>(work.dimension);
  const auto groups = static_cast<double>(work.groups);
  const double wide = static_cast<double>(work.number_bytes) / sizeof(float);  // twice the bytes, half the speed
  const TableLayout layout = table_layout(work.dimension, work.groups, work.number_bytes);
  const auto tables = static_cast<double>(layout.tables);

  NormalCost cost;
  const double row_s = kPassRow + kPassRowTable * tables + d * (kPassNumber + kPassTable * tables);
  cost.pass_s = wide * (n * row_s + kTableNumber * static_cast<double>(layout.size()));
  const double pairs = groups * (groups + 1) / 2;
  const double numbers = pairs * d * d;
  // Half of the rows are open in a gate, a quarter in two.
  const double open_rows = n * (groups / 2 + groups * (groups - 1) / 8);
  cost.forming_s = wide * (n * pairs * kGatherRow + open_rows * d * (kGatherNumber + 2 * d * kProductFlop) +
                           n / kRowsOfASum * numbers * kSumNumber);
  cost.gram_bytes = numbers * static_cast<double>(work.number_bytes);
  cost.gram_s = wide * numbers * (cost.gram_bytes <= kCacheBytes ? kGramNumber : kGramNumberFar);
  cost.fits = cost.gram_bytes <= kMostOfX * n * d * static_cast<double>(work.number_bytes);
  return cost;
}

bool gram_pays(const NormalWork& work) {
  const NormalCost cost = normal_cost(work);
  return cost.fits && cost.by_gram_s(work.applications) < cost.by_passes_s(work.applications);
}

}  // namespace coala
