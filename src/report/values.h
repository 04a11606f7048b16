#pragma once

#include <string>

#include "core/estimate.h"

namespace coala {

// Numbers as the report shows them.

/// 0.925 as "92.5 %".
std::string percent(double share);
/// "90.3 to 94.5" where the factor makes it per cent, else with two decimals; empty when it is not known.
std::string interval_text(const Interval& interval, double factor);

}  // namespace coala
