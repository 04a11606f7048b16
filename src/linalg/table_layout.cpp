#include <algorithm>

#include "linalg/gated_kernels.h"

namespace coala {
namespace {

constexpr std::size_t kLanes = 16;                  ///< columns of the widest register
constexpr std::size_t kCacheBytes = 32 * 1024;      ///< of the first level, less what the rows need
constexpr std::size_t kFewestColumns = 4 * kLanes;  ///< of a block: below, picking entries costs more than using them
constexpr std::size_t kMostColumns = 8 * kLanes;    ///< above, the tables of a block crowd out the rows
constexpr std::size_t kMostAlike = 128 * kLanes;    ///< when all rows have the one entry: they are read in long runs

std::size_t ceil_div(std::size_t a, std::size_t b) {
  return (a + b - 1) / b;
}

}  // namespace

TableLayout table_layout(std::size_t dimension, std::size_t groups, std::size_t number_bytes) {
  TableLayout layout;
  layout.dimension = dimension;
  layout.tables = std::max<std::size_t>(1, ceil_div(groups, kMostTableGroups));
  layout.entries = std::size_t{1} << ceil_div(groups, layout.tables);
  const std::size_t fitting = kCacheBytes / (layout.tables * layout.entries * number_bytes) / kLanes * kLanes;
  const std::size_t most = std::clamp(fitting, kFewestColumns, layout.entries == 1 ? kMostAlike : kMostColumns);
  layout.blocks = std::max<std::size_t>(1, ceil_div(dimension, most));
  layout.block_columns = std::max(kLanes, ceil_div(ceil_div(dimension, layout.blocks), kLanes) * kLanes);
  return layout;
}

}  // namespace coala
