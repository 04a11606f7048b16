#include "features/feature_checks.h"

#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "core/error.h"

namespace coala {

void check_finite(const StoredRows& rows, std::string_view name, const std::string& where) {
  std::vector<float> row(rows.cols());
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    rows.read(i, 0, std::span<float>(row));
    for (std::size_t j = 0; j < row.size(); ++j) {
      if (std::isfinite(row[j])) continue;
      throw Error(
          ErrorCode::BadInput,
          fmt::format("{}: '{}' has the value {} in row {}, column {} (counted from 0)", where, name, row[j], i, j),
          "features must be finite; extract them again, or drop that row");
    }
  }
}

void check_finite(std::span<const float> column, std::string_view name, const std::string& where) {
  for (std::size_t i = 0; i < column.size(); ++i) {
    if (std::isfinite(column[i])) continue;
    throw Error(ErrorCode::BadInput,
                fmt::format("{}: '{}' has the value {} in row {} (counted from 0)", where, name, column[i], i),
                "it must be finite");
  }
}

void check_weights(std::span<const float> weights, const std::string& where) {
  check_finite(weights, "weight", where);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] > 0) continue;
    throw Error(ErrorCode::BadInput, fmt::format("{}: the weight of row {} is {}", where, i, weights[i]),
                "weights must be above 0");
  }
}

void check_label(std::int64_t label, std::size_t row, const std::string& where) {
  if (label == -1 || label == 1) return;
  throw Error(ErrorCode::BadInput, fmt::format("{}: the label of row {} is {}", where, row, label),
              "labels are -1 or +1");
}

void check_length(std::int64_t length, std::size_t row, std::string_view name, const std::string& where) {
  if (length >= 0 && length <= std::numeric_limits<std::int32_t>::max()) return;
  throw Error(ErrorCode::BadInput, fmt::format("{}: '{}' of row {} is {}", where, name, row, length),
              "lengths are 0 or more");
}

}  // namespace coala
