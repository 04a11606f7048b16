#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "core/deadline.h"
#include "core/matrix.h"
#include "core/parallel.h"
#include "solver/cone_set.h"
#include "solver/cronos.h"
#include "solver/gated_operator.h"
#include "solver/kronecker.h"
#include "solver/normal_operator.h"
#include "solver/relu_certificate.h"
#include "solver/solve_info.h"

namespace coala {

/// Where a solve is; given to the observer at every check of the gap.
struct ReluProgress {
  int iteration = 0;
  double objective = 0;       ///< of the best feasible point so far
  double dual_objective = 0;  ///< the best bound so far
  double rho = 0;
  double primal_residual = 0;  ///< ||u - v|| over the size of both
  double dual_residual = 0;    ///< ||v - previous v|| over the size of lambda
  std::int64_t cg_iterations = 0;
};

struct ReluSettings {
  double beta = 0;            ///< > 0
  double tolerance = 1e-4;    ///< relative duality gap at which the solve stops; > 0
  int max_iterations = 2000;  ///< of ADMM
  std::function<void(const ReluProgress&)> observer;
};

struct ReluResult {
  Matrix<double> u;             ///< [2P, d], u+ first; inside the cones but for rounding
  ReluDual dual;                ///< the dual point of the bound
  ReluCertificate certificate;  ///< recomputed from the data
  SolveInfo info;               ///< its objectives are the certificate's
  ReluWeights<double> network;  ///< of u
};

/// The paper's convex ReLU program (docs/math.md, program (R)) solved, not stopped early:
///   min over u+-_p in K_p   1/2 || sum_p D_p X (u+_p - u-_p) - y ||^2 + beta sum_p (||u+_p|| + ||u-_p||)
/// by ADMM on u = v with the v inside the cones, so that every iteration has a feasible point. In half-differences and
/// half-sums of u+ and u- the u-step of the sums is closed, that of the differences takes a few conjugate-gradient
/// iterations with the Kronecker preconditioner. One object serves many penalties; each starts from the last solution.
class ReluSolver {
 public:
  /// @param x  [n, d], y [n]: -1 or +1, gates [P, d]; x must outlive the object
  /// @param deadline  of all its work: after it, what has nothing to show throws Late
  /// @throws Error{BadInput} when shapes disagree or a number is not finite
  ReluSolver(MatrixView<const float> x, std::span<const float> y, MatrixView<const float> gates, ThreadPool& pool,
             const Deadline& deadline = {});

  /// The smallest beta at which all weights are zero: the longest projection of +-X'D_p y onto its cone.
  double beta_max();
  /// Late, it gives the best point that is better than no neuron at all.
  /// @throws Error{BadUsage} for settings out of range, Late
  ReluResult solve(const ReluSettings& settings);

 private:
  struct Run;  ///< what one solve keeps
  void prepare();
  void solve_u(double tolerance);
  void update_v(double threshold);
  void balance();
  void check(double beta, Run& run);
  void iterate(const ReluSettings& settings, Run& run, SolveInfo& info);
  std::vector<ConeSet::Slot> slots() const;
  /// q_s = -+F_p' r, projected onto the cones: [2P, d] and the largest length.
  double project_gradient(const Matrix<float>& gradient, Matrix<double>& projected);

  MatrixView<const float> x_;
  std::vector<float> y_;
  Matrix<float> gates_;
  ThreadPool* pool_;
  Deadline deadline_;
  ConeSet cones_;
  GatedOperator<float> f_;
  RowSpectrum spectrum_;
  GateMoments moments_;
  std::optional<KroneckerPreconditioner> preconditioner_;
  std::optional<NormalOperator<float>> normal_;
  std::optional<NormalSystem> system_;
  double unit_ = 1;  ///< the largest singular value of X; u, v, lambda, a are those of X / unit_
  Matrix<float> fty_;
  std::vector<ConeSet::Slot> v_slots_, dual_slots_;

  double rho_ = 0;
  Matrix<double> u_, v_, before_, lambda_;  ///< [2P, d]
  std::vector<double> a_;                   ///< [P * d], (u+ - u-) / sqrt 2
  Deadline working_until_;                  ///< of the iterations
  double primal_residual_ = 0;
  double dual_residual_ = 0;
  std::int64_t cg_iterations_ = 0;
};

}  // namespace coala
