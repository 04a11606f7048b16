#pragma once

#include <cstddef>
#include <vector>

#include "core/matrix.h"

namespace coala {

/// The rows that a program is fitted to. Row i is x_i (pointwise) or the pair (x_i, x'_i), whose prediction is
/// score(x_i) - score(x'_i). Features are [n, d], host memory, not owned.
template <class T>
struct DesignRows {
  struct Segment {
    MatrixView<const T> plus;   ///< [n_s, d]
    MatrixView<const T> minus;  ///< [n_s, d], or no rows for pointwise ones
  };
  std::vector<Segment> segments;  ///< rows are numbered through them

  std::size_t rows() const {
    std::size_t count = 0;
    for (const Segment& segment : segments) count += segment.plus.rows;
    return count;
  }
  std::size_t dimension() const { return segments.empty() ? 0 : segments.front().plus.cols; }
  bool pairwise() const { return !segments.empty() && segments.front().minus.rows > 0; }
};

}  // namespace coala
