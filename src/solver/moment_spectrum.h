#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/matrix.h"
#include "core/parallel.h"
#include "solver/design_rows.h"

namespace coala {

/// What is known of second moments S = sum_i weight_i x_i x_i': eigenvectors, the leading ones or all, and one number
/// for the directions beyond them, S ~ V' diag(values) V + rest (I - V'V).
struct MomentSpectrum {
  Matrix<float> vectors;       ///< [r, d], orthonormal rows
  std::vector<double> values;  ///< [r], descending, >= 0
  double rest = 0;             ///< mean of the other d - r eigenvalues
  double flops = 0;            ///< that it took to find

  std::size_t rank() const { return values.size(); }
  std::size_t dimension() const { return vectors.cols(); }
  bool whole() const { return rank() == dimension(); }
};

/// Up to here all eigenvectors are made: n d^2 operations for X'X and about 10 d^3 in double for them are less than
/// what the passes of a fit take.
inline constexpr std::size_t kWholeDimensions = 512;
/// Beyond, at most this many leading ones are.
inline constexpr std::size_t kLeadingDirections = 384;

/// Of x_i x_i' (for pairs of their differences), as the linear model meets them. All eigenvectors: for few columns.
MomentSpectrum row_moments(const DesignRows<float>& rows, std::span<const float> weights, ThreadPool& pool);

/// As the groups of the gated program meet them: a gate is open for both responses of a pair, which leaves their
/// difference, or for one, which leaves that one, about half of the time each. Of pointwise rows it is `of_rows`.
MomentSpectrum gated_moments(const DesignRows<float>& rows, std::span<const float> weights,
                             const MomentSpectrum& of_rows, ThreadPool& pool);

/// The leading directions of the gated program's moments, estimated from some of the rows, spread evenly. Without any
/// when a row is not finite, which is the solver's to refuse.
MomentSpectrum sampled_moments(const DesignRows<float>& rows, std::span<const float> weights, std::size_t rank,
                               ThreadPool& pool);

/// The leading `rank` eigenpairs of A'A by randomised subspace iteration (Halko, Martinsson & Tropp 2011, algorithms
/// 4.4 and 5.3): 2 m d rank (2 rounds + 1) operations in single precision. The same bits for any number of threads.
/// @param a       [m, d]
/// @param rounds  products with A'A before the eigenvectors are taken; what is left of a direction beyond the rank
///                falls with the power 2 rounds + 1 of its singular value
/// @throws Error{BadInput} when A is not finite
MomentSpectrum leading_spectrum(MatrixView<const float> a, std::size_t rank, int rounds, ThreadPool& pool);

}  // namespace coala
