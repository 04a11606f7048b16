#pragma once

namespace coala {

/// A moment at which work should end with the best it has; never, unless it is made by `after`.
class Deadline {
 public:
  Deadline() = default;
  /// So many seconds from now.
  static Deadline after(double seconds);

  bool passed() const;
  /// After this share of the time that is left from now on, 0 to 1.
  Deadline share(double of_the_rest) const;

 private:
  explicit Deadline(double at_s) : at_s_(at_s) {}
  double at_s_ = -1;  ///< on the clock of core/resources.h; negative means never
};

}  // namespace coala
