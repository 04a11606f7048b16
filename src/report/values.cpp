#include "report/values.h"

#include <fmt/format.h>

namespace coala {

std::string percent(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}

std::string interval_text(const Interval& interval, double factor) {
  if (!interval.is_known()) return "";
  const int decimals = factor == 100 ? 1 : 2;
  return fmt::format("{:.{}f} to {:.{}f}", factor * interval.low, decimals, factor * interval.high, decimals);
}

}  // namespace coala
