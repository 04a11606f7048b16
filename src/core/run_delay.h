#pragma once

#include <sys/types.h>

#include <chrono>

namespace coala {

/// How long a thread of this process has waited for a core since it began, able to run, while others had it. 0 where
/// the system does not tell (Linux: /proc/self/task/ID/schedstat).
/// @param thread  as gettid() says; takes some microseconds
std::chrono::nanoseconds run_delay(pid_t thread);

}  // namespace coala
