#pragma once

#include <cstdint>
#include <optional>

namespace coala {

/// How fast a stage goes, from the moments at which parts of it were done. Knows no clock: times are given.
///
/// The first part comes after a start-up (files are mapped, threads begin, the first of several parts at once is under
/// way) that says nothing of the speed, so measuring begins with it, and nothing is said until it has gone on for as
/// long as the start-up took, over enough parts for their scatter to even out. What is long ago counts less: the weight
/// of a second falls by 1/e over twice the time measured so far, and over no less than kMemory_s.
class RateEstimate {
 public:
  explicit RateEstimate(double start_s) : start_s_(start_s), last_s_(start_s) {}

  /// So many units are done since the last call.
  void add(double now_s, double units);

  /// Units per second; nothing while there is too little to go by.
  std::optional<double> per_second(double now_s) const;

  /// Seconds until so many more units are done.
  std::optional<double> seconds_left(double now_s, double units) const;

 private:
  static constexpr double kMemory_s = 20;
  static constexpr double kLeastMeasured_s = 2;
  /// With so many parts of random length an estimate is off by a third (one standard deviation); a few slow ones are
  /// better than nothing.
  static constexpr std::uint64_t kEnoughParts = 8;
  static constexpr std::uint64_t kFewestParts = 3;
  static constexpr double kSlow_s = 30;

  bool is_enough(double measured_s) const;

  double overdue(double now_s) const;

  double start_s_;
  double first_s_ = 0;  ///< when the first part was done
  double last_s_;
  std::uint64_t parts_ = 0;
  double units_ = 0;    ///< weighted, after the first part
  double seconds_ = 0;  ///< the same
  double weight_ = 0;   ///< of the parts
};

}  // namespace coala
