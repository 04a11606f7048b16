#pragma once

#include <chrono>

namespace coala {

/// SIGHUP as a wish and not as the end: it is blocked in the thread that makes this and in all that it starts from then
/// on, and waits to be asked for. So no call of theirs is broken off by it. Of a process that was told to ignore it
/// (nohup) too.
class Hangup {
 public:
  Hangup();
  /// Whether one came since the last call that said so, or comes within this time; several that came together are one.
  bool wait(std::chrono::milliseconds patience) const;
};

}  // namespace coala
