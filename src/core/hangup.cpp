#include "core/hangup.h"

#include <pthread.h>
#include <signal.h>

namespace coala {
namespace {

sigset_t hangup_alone() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGHUP);
  return set;
}

}  // namespace

Hangup::Hangup() {
  const sigset_t set = hangup_alone();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

bool Hangup::wait(std::chrono::milliseconds patience) const {
  const sigset_t set = hangup_alone();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(patience);
  const timespec time{seconds.count(), std::chrono::nanoseconds(patience - seconds).count()};
  return ::sigtimedwait(&set, nullptr, &time) == SIGHUP;
}

}  // namespace coala
