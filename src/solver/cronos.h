#pragma once

#include <array>
#include <functional>
#include <optional>

#include "core/deadline.h"
#include "core/matrix.h"
#include "core/parallel.h"
#include "core/setting.h"
#include "solver/normal_operator.h"
#include "solver/nystrom.h"
#include "solver/solve_info.h"

namespace coala {

/// A pair (positive part, negative part) of group variables, each [P, d] for weights or [n, P] for slacks.
template <class T>
using Signed = std::array<Matrix<T>, 2>;

/// Published settings (COALA, arXiv 2605.23244, and its code).
struct CronosSettings {
  double beta = 1e-3;
  double rho = 0.01;
  int admm_iterations = 6;
  int pcg_max_iterations = 32;
  double pcg_tolerance = 1e-6;  ///< absolute residual norm, from a zero initial guess
  int nystrom_rank = 20;
  std::uint64_t seed = 0;                        ///< of the preconditioner's sketch
  NormalMethod normal = NormalMethod::Cheapest;  ///< how F'F is applied; the iterates agree up to rounding

  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Setting{.name = "beta", .about = "group-norm weight of the cronos class", .range = {.least = 0}}, self.beta);
    add(Setting{.name = "rho", .about = "ADMM penalty of the cronos class", .range = {.least = 0, .above = true}},
        self.rho);
    add(Setting{.name = "admm_iterations",
                .about = "ADMM iterations of the cronos class",
                .range = {1, 100000},
                .option = "iterations"},
        self.admm_iterations);
    add(Setting{.name = "pcg_max_iterations",
                .about = "conjugate gradient iterations of the cronos class",
                .range = {.least = 1},
                .has_option = false},
        self.pcg_max_iterations);
    add(Setting{.name = "pcg_tolerance",
                .about = "residual norm at which they end",
                .range = {.least = 0},
                .has_option = false},
        self.pcg_tolerance);
    add(Setting{.name = "nystrom_rank", .about = "of their preconditioner", .range = {.least = 0}, .has_option = false},
        self.nystrom_rank);
    add(NoSetting{"the fit's"}, self.seed);
    add(NoSetting{"decides no result"}, self.normal);
  }
};

/// The ADMM iterates; u, v, lambda are [P, d] each, s, nu [n, P].
template <class T>
struct CronosState {
  Signed<T> u, v, lambda;
  Signed<T> s, nu;
  double pcg_residual = 0;
  int pcg_iterations = 0;
};

/// CRONOS (Feng et al. 2024) as COALA's code runs it: ADMM on the convex ReLU program (docs/math.md, program (R)) with
/// squared loss, u-steps by conjugate gradients with a Nystrom preconditioner of the whole operator
/// A = I + F'F / rho + G'G. Kept faithful, early stopping included, as the point of comparison: it certifies nothing.
template <class T>
class Cronos {
 public:
  /// @param f        operator of P gates over n pointwise rows
  /// @param pattern  its gate pattern D [n, P]
  /// @param y        [n], -1 or +1
  /// @param deadline  of the iterations, and of what is made before them
  /// @throws Late
  Cronos(GatedOperator<T>& f, const Matrix<std::uint8_t>& pattern, std::span<const T> y, CronosSettings settings,
         ThreadPool& pool, const Deadline& deadline = {});

  /// Uses this preconditioner instead of drawing one (the golden data carry theirs).
  void set_preconditioner(NystromPreconditioner preconditioner) { preconditioner_ = std::move(preconditioner); }

  /// One ADMM iteration.
  /// @throws Late; u is that of the iteration before
  void step();
  /// All iterations; stops early when interrupted or late.
  /// @throws Late when there is not even the first iterate
  SolveInfo run();
  const CronosState<T>& state() const { return state_; }

  /// out := A in, both [2, P, d].
  void apply(const Signed<T>& in, Signed<T>& out);

 private:
  /// E_p X w for both halves: [n, P], E = 2D - I.
  void constraint(const Signed<T>& w, Signed<T>& out) const;
  /// Its adjoint.
  void constraint_adjoint(const Signed<T>& s, Signed<T>& out) const;
  void solve_u(const Signed<T>& rhs);

  double setup_s_;  ///< of the constructor, which makes the Gram matrices
  GatedOperator<T>* f_;
  NormalOperator<T> normal_;
  const Matrix<std::uint8_t>* pattern_;
  CronosSettings settings_;
  ThreadPool* pool_;
  Deadline deadline_;
  Matrix<T> gram_;          ///< X'X [d, d]
  Signed<T> fty_over_rho_;  ///< F'y / rho
  std::optional<NystromPreconditioner> preconditioner_;
  CronosState<T> state_;
  std::int64_t cg_iterations_ = 0;
};

/// The ReLU network of the iterate u: theta1 [d, 2P] (positive parts first), theta2 [2P]; the column of group w is
/// w / sqrt(||w||), its weight +-sqrt(||w||), both zero for an empty group.
template <class T>
struct ReluWeights {
  Matrix<T> theta1;
  std::vector<T> theta2;
};
template <class T>
ReluWeights<T> relu_weights(const Signed<T>& u);

}  // namespace coala
