#include "solver/solve_info.h"

#include <algorithm>
#include <cmath>

namespace coala {

std::string_view status_name(SolveStatus status) noexcept {
  return name_of(status);
}

double SolveInfo::relative_gap() const noexcept {
  const double size = std::max(std::abs(objective), std::abs(dual_objective));
  return size > 0 ? (objective - dual_objective) / size : 0.0;
}

}  // namespace coala
