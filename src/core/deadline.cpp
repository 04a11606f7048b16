#include "core/deadline.h"

#include <algorithm>

#include "core/resources.h"

namespace coala {

Deadline Deadline::after(double seconds) {
  return Deadline(monotonic_s() + std::max(seconds, 0.0));
}

bool Deadline::passed() const {
  return at_s_ >= 0 && monotonic_s() >= at_s_;
}

void Deadline::check() const {
  require(0);
}

void Deadline::require(double seconds) const {
  if (at_s_ >= 0 && monotonic_s() + seconds >= at_s_) throw Late();
}

Deadline Deadline::not_before(double seconds) const {
  return at_s_ < 0 ? Deadline() : Deadline(std::max(at_s_, monotonic_s() + seconds));
}

Deadline Deadline::share(double of_the_rest) const {
  if (at_s_ < 0) return {};
  const double now = monotonic_s();
  return Deadline(now + of_the_rest * std::max(at_s_ - now, 0.0));
}

}  // namespace coala
