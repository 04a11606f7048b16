#pragma once

#include <cstdint>
#include <map>
#include <vector>

namespace coala {

/// Statistics of lengths in characters, in memory that grows with the different ones, not with how many there are.
class LengthStatistics {
 public:
  void add(std::uint64_t length);

  std::uint64_t count() const { return count_; }
  std::uint64_t min() const { return count_ == 0 ? 0 : min_; }
  std::uint64_t max() const { return max_; }
  double mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }
  /// The lower median: of 1, 2, 3, 4 it is 2.
  std::uint64_t median() const;

 private:
  std::uint64_t count_ = 0;
  std::uint64_t min_ = 0;
  std::uint64_t max_ = 0;
  double sum_ = 0;
  static constexpr std::size_t kUsual = 1u << 16;
  std::vector<std::uint64_t> of_length_;            ///< counts of lengths below kUsual
  std::map<std::uint64_t, std::uint64_t> of_long_;  ///< of the others, which are few
};

}  // namespace coala
