#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/safetensors.h"
#include "features/feature_set.h"

namespace coala {

/// A column of a feature file: its name there, type and numbers per row.
struct FeatureColumn {
  std::string name;
  Dtype dtype = Dtype::F32;
  std::size_t width = 0;   ///< d for features, 1 for the rest
  bool is_vector = false;  ///< [n] rather than [n, width]
  bool optional = false;   ///< left out of the file when no record had a value
};

/// How wide the columns of vectors are.
struct FeatureWidths {
  std::size_t features = 0;
  std::size_t token_sums = 0;  ///< 0: there are none
};

/// The columns of a kind of feature file, in the order in which they are stored.
std::vector<FeatureColumn> feature_columns(FeatureKind kind, Dtype dtype, const FeatureWidths& widths);

/// Rows that are not on disk yet, as the bytes they will have there.
class FeatureRows {
 public:
  FeatureRows(FeatureKind kind, Dtype dtype, const FeatureWidths& widths);

  /// One value or vector of the row that is being filled; columns in any order, each once per row.
  /// @throws Error{BadInput} when a number is too large for the column's type
  void put(const std::string& column, std::span<const float> values);
  void put(const std::string& column, std::int64_t value);
  /// Says that an optional column had a value of its own in some row.
  void mark_present(const std::string& column);
  void end_row() { ++rows_; }

  std::size_t rows() const { return rows_; }
  const std::vector<FeatureColumn>& columns() const { return columns_; }
  std::span<const std::byte> bytes(const std::string& column) const { return data_.at(column).bytes; }
  bool present(const std::string& column) const { return data_.at(column).present; }
  void clear();

 private:
  struct Data {
    Dtype dtype = Dtype::F32;
    bool present = true;
    std::vector<std::byte> bytes;
  };
  std::vector<FeatureColumn> columns_;
  std::map<std::string, Data> data_;
  std::size_t rows_ = 0;
};

}  // namespace coala
