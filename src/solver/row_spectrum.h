#pragma once

#include <vector>

#include "core/deadline.h"
#include "core/matrix.h"
#include "core/parallel.h"

namespace coala {

/// The eigenvectors of S = X'X with eigenvalues above rounding, that is an orthonormal basis of the span of the rows.
struct RowSpectrum {
  std::vector<double> values;  ///< [r], descending, > 0
  Matrix<double> vectors;      ///< [r, d], one eigenvector per row
};

/// From X'X, or from X X' when there are fewer rows than columns (then no d x d matrix is made).
/// @throws Error{BadInput} when a feature is not finite, Late
RowSpectrum row_spectrum(MatrixView<const float> x, ThreadPool& pool, const Deadline& deadline = {});

}  // namespace coala
