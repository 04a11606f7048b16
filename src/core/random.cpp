#include "core/random.h"

#include <bit>
#include <cmath>

namespace coala {

Random::Random(std::uint64_t seed) noexcept : state_{} {
  for (std::uint64_t& word : state_) {  // splitmix64, as the authors of xoshiro recommend for seeding
    seed += 0x9e3779b97f4a7c15u;
    std::uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    word = z ^ (z >> 31);
  }
}

std::uint64_t Random::next() noexcept {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

double Random::uniform() noexcept {
  return static_cast<double>(next() >> 11) * 0x1p-53;
}

std::uint64_t Random::below(std::uint64_t bound) noexcept {
  const std::uint64_t limit = -bound % bound;  // 2^64 mod bound: values below it would be drawn once too often
  for (;;) {
    const std::uint64_t value = next();
    if (value >= limit) return value % bound;
  }
}

double Random::normal() noexcept {
  if (has_spare_) {
    has_spare_ = false;
    return spare_;
  }
  for (;;) {
    const double a = 2 * uniform() - 1;
    const double b = 2 * uniform() - 1;
    const double s = a * a + b * b;
    if (s <= 0 || s >= 1) continue;
    const double factor = std::sqrt(-2 * std::log(s) / s);
    spare_ = b * factor;
    has_spare_ = true;
    return a * factor;
  }
}

double Random::exponential() noexcept {
  return -std::log((static_cast<double>(next() >> 11) + 0.5) * 0x1p-53);
}

}  // namespace coala
