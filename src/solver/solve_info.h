#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "coala/fit_choices.h"
#include "core/setting.h"

namespace coala {

inline constexpr std::array kSolveStatuses{
    Named{"Solved", SolveStatus::Solved}, Named{"IterationLimit", SolveStatus::IterationLimit},
    Named{"TimeLimit", SolveStatus::TimeLimit}, Named{"Interrupted", SolveStatus::Interrupted},
    Named{"Stalled", SolveStatus::Stalled}};
constexpr const auto& names_of(SolveStatus) {
  return kSolveStatuses;
}

/// What a solve did and how good its result is.
struct SolveInfo {
  SolveStatus status = SolveStatus::Solved;
  double objective = 0;            ///< of the program, at the returned weights
  double dual_objective = 0;       ///< a lower bound of the optimum
  std::int64_t iterations = 0;     ///< outer iterations (ADMM, proximal gradient or Newton)
  std::int64_t cg_iterations = 0;  ///< inner conjugate-gradient iterations
  std::uint64_t passes_over_x = 0;
  double flops = 0;
  double seconds = 0;  ///< wall clock

  /// (objective - bound) / max(|objective|, |bound|), 0 for 0/0
  double relative_gap() const noexcept;
};

}  // namespace coala
