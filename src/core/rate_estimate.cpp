#include "core/rate_estimate.h"

#include <algorithm>
#include <cmath>

namespace coala {

void RateEstimate::add(double now_s, double units) {
  const double since_last_s = std::max(0.0, now_s - last_s_);
  last_s_ = std::max(last_s_, now_s);
  if (parts_++ == 0) {
    first_s_ = last_s_;
    return;
  }
  const double kept = std::exp(-since_last_s / std::max(kMemory_s, 2 * (last_s_ - first_s_)));
  units_ = kept * units_ + units;
  seconds_ = kept * seconds_ + since_last_s;
  weight_ = kept * weight_ + 1;
}

bool RateEstimate::is_enough(double measured_s) const {
  if (measured_s < std::max(kLeastMeasured_s, first_s_ - start_s_)) return false;
  const std::uint64_t after_first = parts_ > 0 ? parts_ - 1 : 0;
  return after_first >= kEnoughParts || (after_first >= kFewestParts && measured_s >= kSlow_s);
}

/// How much longer than usual the next part takes.
double RateEstimate::overdue(double now_s) const {
  return std::max(0.0, now_s - last_s_ - seconds_ / weight_);
}

std::optional<double> RateEstimate::per_second(double now_s) const {
  if (!is_enough(now_s - first_s_) || !(units_ > 0) || !(seconds_ > 0)) return std::nullopt;
  return units_ / (seconds_ + overdue(now_s));
}

std::optional<double> RateEstimate::seconds_left(double now_s, double units) const {
  const std::optional<double> rate = per_second(now_s);
  if (!rate) return std::nullopt;
  // The next part is under way.
  return std::max(0.0, units / *rate - std::min(std::max(0.0, now_s - last_s_), seconds_ / weight_));
}

}  // namespace coala
