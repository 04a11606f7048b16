#pragma once

#include <vector>

#include "core/matrix.h"
#include "linalg/factorisation.h"
#include "solver/moment_spectrum.h"

namespace coala {

/// The curvature that all groups share. F'F is close to S (x) C, with S the second moments of the rows and C the
/// overlap of the gates (docs/math.md, "the gated solver"); a step that is scaled by S leaves the conditioning of C
/// alone, which is a few tens where that of S is thousands. In the eigenbasis of S the scaling is diagonal and the same
/// for every group, and a group's norm does not change by the rotation, so the proximal step stays a search for one
/// number. Of many dimensions only the leading eigenvectors are known; the others of the basis are any.
struct GatedMetric {
  Matrix<float> basis;       ///< [d, d], eigenvectors of S in its rows; or without rows
  BlockReflector leading;    ///< else: its first columns are the leading eigenvectors; of rank 0: the identity
  std::vector<float> scale;  ///< [d], eigenvalues over the largest, not below a floor
  double largest = 1;        ///< the largest eigenvalue

  std::size_t dimension() const { return scale.size(); }
  /// Operations of turning [P, d] into the basis, or back (solver/backend_metric.h).
  double flops(std::size_t groups) const;
};

/// @param moments  gated_moments of the rows
GatedMetric gated_metric(const MomentSpectrum& moments);

/// No model of the curvature: plain gradient steps.
GatedMetric identity_metric(std::size_t dimension);

}  // namespace coala
