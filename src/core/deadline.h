#pragma once

#include <exception>

namespace coala {

/// Thrown by work that has nothing to show yet when its time is over. Whoever set the deadline catches it.
class Late : public std::exception {
 public:
  const char* what() const noexcept override { return "the time limit is over"; }
};

/// A moment at which work should end with the best it has; never, unless it is made by `after`.
class Deadline {
 public:
  Deadline() = default;
  /// So many seconds from now.
  static Deadline after(double seconds);

  bool passed() const;
  /// @throws Late when it has passed
  void check() const;
  /// Of work that cannot be divided, before it begins.
  /// @param seconds  that it will take
  /// @throws Late when less is left
  void require(double seconds) const;
  /// This one, but not before so many seconds from now.
  Deadline not_before(double seconds) const;
  /// After this share of the time that is left from now on, 0 to 1.
  Deadline share(double of_the_rest) const;

 private:
  explicit Deadline(double at_s) : at_s_(at_s) {}
  double at_s_ = -1;  ///< on the clock of core/resources.h; negative means never
};

}  // namespace coala
