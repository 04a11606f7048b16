#pragma once

#include <string>
#include <vector>

#include "train/run_metrics.h"

namespace coala {

/// Something that a run should not have.
struct Check {
  std::string expected;  ///< what holds when it passes
  std::string failure;   ///< what is the case when it does not
  std::string found;
  bool passes = true;
  bool of_reward_head = false;  ///< says nothing of a token head
};

/// Leaks first, then what the numbers say of the head and of the solution. Only what the metrics can tell.
std::vector<Check> run_checks(const RunMetrics& metrics);

}  // namespace coala
