#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/matrix.h"

namespace coala {

/// A rank-r approximation U diag(s) U' of a positive definite operator, used as the preconditioner
/// z = (s_min + shift) U (U'r / (s + shift)) + r - U U'r (Frangella, Tropp & Udell 2023, with the shift of CRONOS).
struct NystromPreconditioner {
  Matrix<double> u;       ///< [dimension, r], orthonormal columns
  std::vector<double> s;  ///< [r], descending
  double shift = 0;       ///< rho

  void apply(std::span<const double> r, std::span<double> z) const;
};

/// Sketches the operator with `rank` Gaussian vectors.
/// @param multiply  out := A in
NystromPreconditioner sketch_nystrom(
    std::size_t dimension, std::size_t rank, double shift, std::uint64_t seed,
    const std::function<void(std::span<const double> in, std::span<double> out)>& multiply);

}  // namespace coala
