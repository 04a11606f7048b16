#pragma once

#include <cstdint>

namespace coala {

/// Small seeded generator (xoshiro256**, seeded by splitmix64): the same seed gives the same numbers on every machine
/// and in every release, which the standard library's distributions do not promise.
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept;

  std::uint64_t next() noexcept;
  double uniform() noexcept;                          ///< in [0, 1), 53 bits
  std::uint64_t below(std::uint64_t bound) noexcept;  ///< in [0, bound), unbiased; bound >= 1
  double normal() noexcept;                           ///< standard normal (Marsaglia's polar method)
  double exponential() noexcept;                      ///< of mean 1, above 0

 private:
  std::uint64_t state_[4];
  double spare_ = 0;
  bool has_spare_ = false;
};

}  // namespace coala
