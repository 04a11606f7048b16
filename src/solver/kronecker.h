#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/deadline.h"
#include "core/matrix.h"
#include "core/parallel.h"
#include "linalg/factorisation.h"
#include "solver/normal_operator.h"
#include "solver/row_spectrum.h"

namespace coala {

/// How the gates split the spectrum; all from one pass over X, t_i = Q x_i the coordinates of a row.
struct GateMoments {
  /// sum_i t_ij^2 D_ip D_iq / l_j per direction j, [P, P] each; or a single one, their mean weighted by l_j
  /// (C_pq = tr(X' D_p D_q X) / tr S), for all directions.
  std::vector<Matrix<double>> shares;
  /// sum_i t_ia t_ib D_ip D_iq over the leading directions a, b < k, index a * P + p: [k P, k P].
  Matrix<double> leading;
  std::size_t leading_count = 0;  ///< k
};

struct MomentSettings {
  std::size_t leading = 64;   ///< leading directions whose coupling is kept whole; fewer when k P would exceed 640
  bool per_direction = true;  ///< a share of its own for every direction; one for all when P^2 / 2 exceeds 4 r
};

/// @param pattern  [n, P]
/// @throws Late
GateMoments gate_moments(MatrixView<const float> x, const Matrix<std::uint8_t>& pattern, const RowSpectrum& spectrum,
                         ThreadPool& pool, const MomentSettings& settings = {}, const Deadline& deadline = {});

/// M w = identity w + gram w S + loss F'F w on weights [P, d].
struct NormalCoefficients {
  double identity = 1;  ///< > 0
  double gram = 0;      ///< >= 0
  double loss = 0;      ///< >= 0
};

/// M as an operator. One application of F'F each; vectors in double, products with X in single precision.
class NormalSystem {
 public:
  NormalSystem(NormalOperator<float>& normal, const RowSpectrum& spectrum) : normal_(&normal), spectrum_(&spectrum) {}

  void set(const NormalCoefficients& coefficients) { coefficients_ = coefficients; }
  /// out := M w, both [P * d]
  void apply(std::span<const double> w, std::span<double> out);

 private:
  NormalOperator<float>* normal_;
  const RowSpectrum* spectrum_;
  NormalCoefficients coefficients_;
  Matrix<float> in_, product_;
};

/// An approximate inverse of M in the basis Q (x) V: F'F is taken as block diagonal over the eigenvectors of S, with
/// one whole block for the leading ones, where most of the size of X is and where the gates couple directions most.
class KroneckerPreconditioner {
 public:
  /// @throws Late
  KroneckerPreconditioner(const RowSpectrum& spectrum, const GateMoments& moments, std::size_t groups,
                          const Deadline& deadline = {});

  /// Prepares for these coefficients: no pass over X, one Cholesky factor of order k P.
  void set(const NormalCoefficients& coefficients);
  /// z := M~^{-1} r, both [P * d]
  void apply(std::span<const double> r, std::span<double> z) const;

 private:
  const RowSpectrum* spectrum_;
  const GateMoments* moments_;
  std::size_t groups_;
  std::vector<SymmetricEigen> eigen_;  ///< of the shares
  NormalCoefficients coefficients_;
  std::optional<Cholesky> leading_;
};

}  // namespace coala
