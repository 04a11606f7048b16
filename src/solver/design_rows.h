#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "core/matrix.h"
#include "core/stored_rows.h"
#include "solver/feature_transform.h"

namespace coala {

/// The rows that a program is fitted to. Row i is x_i (pointwise) or the pair (x_i, x'_i), whose prediction is
/// score(x_i) - score(x'_i). The features stay where and as they are stored; x is what the transform makes of them.
template <class T>
struct DesignRows {
  struct Segment {
    StoredRows plus;   ///< [n_s, d]
    StoredRows minus;  ///< [n_s, d], or no rows for pointwise ones
  };
  std::vector<Segment> segments;                        ///< rows are numbered through them
  std::shared_ptr<const FeatureTransform> transform{};  ///< none: x is what is stored

  std::size_t rows() const {
    std::size_t count = 0;
    for (const Segment& segment : segments) count += segment.plus.rows();
    return count;
  }
  std::size_t dimension() const { return segments.empty() ? 0 : segments.front().plus.cols(); }
  bool pairwise() const { return !segments.empty() && segments.front().minus.rows() > 0; }
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const Segment& segment : segments) sum += segment.plus.bytes() + segment.minus.bytes();
    return sum;
  }

  /// Columns [first, first + x.size()) of row i of one side of a segment.
  void read(const StoredRows& side, std::size_t i, std::size_t first, std::span<T> x) const;
  /// Rows [begin, end) of one side: where they are, if they are x as it is needed, else in `scratch`.
  MatrixView<const T> block(const StoredRows& side, std::size_t begin, std::size_t end, Matrix<T>& scratch) const;

  /// Calls visit(row, x, sign) for every response in order, sign +1, and -1 for the second one of a pair.
  template <class Visit>
  void for_each(const Visit& visit) const {
    std::vector<T> x(dimension());
    std::size_t row = 0;
    for (const Segment& segment : segments) {
      for (std::size_t i = 0; i < segment.plus.rows(); ++i, ++row) {
        for (const StoredRows* side : {&segment.plus, &segment.minus}) {
          if (side->rows() == 0) continue;
          read(*side, i, 0, x);
          visit(row, std::span<const T>(x), side == &segment.plus ? 1.0 : -1.0);
        }
      }
    }
  }
};

}  // namespace coala
