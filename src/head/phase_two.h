#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/deadline.h"
#include "core/matrix.h"
#include "core/setting.h"
#include "solver/solve_info.h"

namespace coala {

/// Phase II fits the second layer with the first one frozen: a convex problem in m numbers (docs/math.md, "Phase II").
/// Every objective is the mean over rows of weight * log(1 + exp(offset - slope * y z)), z the (difference of) scores.
enum class PhaseTwoObjective {
  Preference,  ///< ours: offset = margin, slope = 1; pairs for pairs, pointwise for labelled rows. Calibrated.
  Pairwise,    ///< the published code: softplus(1 + gamma - beta_r (s_w - s_l)); needs pairs
  Pointwise,   ///< the paper: log(1 + exp(-beta_r y s + gamma)) on single responses
};
enum class PhaseTwoSolver {
  Newton,       ///< damped Newton, to a gradient norm of 1e-10
  Accelerated,  ///< Nesterov's gradient method, the paper's O(1/k^2) alternative
  AdamW,        ///< the published schedule
};

inline constexpr std::array kPhaseTwoObjectives{Named{"preference", PhaseTwoObjective::Preference},
                                                Named{"pairwise", PhaseTwoObjective::Pairwise},
                                                Named{"pointwise", PhaseTwoObjective::Pointwise}};
constexpr const auto& names_of(PhaseTwoObjective) {
  return kPhaseTwoObjectives;
}
inline constexpr std::array kPhaseTwoSolvers{Named{"newton", PhaseTwoSolver::Newton},
                                             Named{"accelerated", PhaseTwoSolver::Accelerated},
                                             Named{"adamw", PhaseTwoSolver::AdamW}};
constexpr const auto& names_of(PhaseTwoSolver) {
  return kPhaseTwoSolvers;
}

struct PhaseTwoSettings {
  PhaseTwoObjective objective = PhaseTwoObjective::Preference;
  PhaseTwoSolver solver = PhaseTwoSolver::Newton;
  double beta_r = 2.5;
  double gamma = 0.5;
  double ridge = 1e-3;
  int epochs = 500;  ///< AdamW; learning rate 1e-4, weight decay 1e-4, batch 128, best epoch kept
  std::uint64_t seed = 0;

  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Setting{.name = "objective", .about = "Phase II objective"}, self.objective);
    add(Setting{.name = "solver", .about = "Phase II method"}, self.solver);
    add(Setting{.name = "beta_r",
                .about = "slope of the published Phase II objectives",
                .range = {.least = 0, .above = true},
                .option = "beta"},
        self.beta_r);
    add(Setting{.name = "gamma", .about = "offset of the published Phase II objectives"}, self.gamma);
    add(Setting{.name = "ridge",
                .about = "pull towards Phase I's second layer, relative to the activations' mean square",
                .range = {.least = 0},
                .has_option = false},
        self.ridge);
    add(Setting{.name = "epochs", .about = "of the adamw method", .range = {.least = 1}, .has_option = false},
        self.epochs);
    add(NoSetting{"the fit's"}, self.seed);
  }
};

/// Rows for Phase II: activations of single responses, or differences for pairs, made by networks that have not seen
/// the rows' prompts.
struct PhaseTwoRows {
  Matrix<double> activations;   ///< [n, m]
  std::vector<double> labels;   ///< [n], -1 or +1; +1 for pairs
  std::vector<double> weights;  ///< [n], > 0
  std::vector<double> margins;  ///< [n] or empty; used by Preference only
  bool pairwise = false;
};

struct PhaseTwoResult {
  std::vector<double> theta2;  ///< [m]
  double bias = 0;             ///< pointwise objectives only
  SolveStatus status = SolveStatus::Solved;
  int iterations = 0;
  double objective_before = 0;  ///< mean loss with Phase I's theta2
  double objective = 0;         ///< mean loss with the new one
  double gradient_norm = 0;     ///< of mean loss plus ridge, at the result
  double seconds = 0;
  double flops = 0;
  std::vector<double> objective_curve;  ///< mean loss after each iteration (epoch), the start first
  std::vector<double> margin_curve;     ///< the same of y z: how far the rows are on their right side
};

/// A method that is late leaves the last point it has, AdamW its best epoch.
/// @param theta2  Phase I's second layer, the start and the ridge's centre
/// @throws Error{BadUsage} when the objective does not fit the rows
PhaseTwoResult fit_phase_two(const PhaseTwoRows& rows, const std::vector<double>& theta2, double bias,
                             const PhaseTwoSettings& settings, const Deadline& deadline = {});

}  // namespace coala
