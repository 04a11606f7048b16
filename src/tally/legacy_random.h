#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace coala {

/// Draws as numpy's `RandomState` makes them (MT19937, then a mask and a rejection), so that a published bootstrap is
/// repeated draw by draw where its seed is known. For nothing else: core/random.h is ours.
class LegacyRandom {
 public:
  explicit LegacyRandom(std::uint32_t seed) : bits_(seed) {}

  /// `randint(0, bound, size=count)`, which `choice(bound, count)` and pandas' `sample(frac=1, replace=True)` are too.
  /// @param bound  1 to 2^32
  std::vector<std::size_t> draws(std::size_t bound, std::size_t count) {
    const std::uint64_t largest = bound - 1;
    std::uint64_t mask = largest;
    for (int shift = 1; shift < 64; shift *= 2) mask |= mask >> shift;
    std::vector<std::size_t> result(count);
    for (std::size_t& value : result) {
      std::uint64_t drawn = 0;
      while (largest > 0 && (drawn = bits_() & mask) > largest) {
      }
      value = static_cast<std::size_t>(drawn);
    }
    return result;
  }

 private:
  std::mt19937 bits_;
};

}  // namespace coala
