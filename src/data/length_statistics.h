#pragma once

#include <cstdint>
#include <vector>

namespace coala {

/// Statistics of lengths in characters, in memory that does not depend on how many there are.
class LengthStatistics {
 public:
  static constexpr std::uint64_t kExact = 1u << 16;  ///< shorter lengths are counted one by one

  void add(std::uint64_t length);

  std::uint64_t count() const { return count_; }
  std::uint64_t min() const { return count_ == 0 ? 0 : min_; }
  std::uint64_t max() const { return max_; }
  double mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }
  /// The lower median: of 1, 2, 3, 4 it is 2. Exact below kExact, else kExact, which is then a lower bound.
  std::uint64_t median() const;

 private:
  std::uint64_t count_ = 0;
  std::uint64_t min_ = 0;
  std::uint64_t max_ = 0;
  double sum_ = 0;
  std::vector<std::uint64_t> of_length_;  ///< grows up to kExact + 1 entries
};

}  // namespace coala
