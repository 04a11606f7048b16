#include "terminal/address_space.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <cstdlib>

#include "core/error.h"
#include "core/parallel.h"

namespace coala {
namespace {

constexpr rlim_t kMiB = 1 << 20;
constexpr rlim_t kWorkArea_bytes = 128 * kMiB;
constexpr rlim_t kProgram_bytes = 128 * kMiB;  ///< code, stacks and what is always there
/// The thread that tells of progress: its stack, and what the C library reserves for a thread's first allocation.
constexpr rlim_t kProgress_bytes = 160 * kMiB;

}  // namespace

void check_address_space() {
  rlimit limit{};
  // Grammars, templates and JSON are read by functions that call themselves.
  constexpr rlim_t kStack_bytes = kMiB / 2;
  if (::getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < kStack_bytes) {
    throw Error(ErrorCode::BadInput,
                fmt::format("the stack is limited to {} KiB; expected at least {} KiB", limit.rlim_cur / 1024,
                            kStack_bytes / 1024),
                "raise the limit (ulimit -s)");
  }
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  const auto cores = static_cast<rlim_t>(usable_cores());
  const char* const wanted = std::getenv("OPENBLAS_NUM_THREADS");
  const bool alone = wanted != nullptr && std::atoi(wanted) == 1;
  // A work area for each thread of ours that calls OpenBLAS, and for each that it starts itself and never uses.
  const rlim_t needed = kProgram_bytes + kProgress_bytes + kWorkArea_bytes * (alone ? cores : 2 * cores - 1);
  if (limit.rlim_cur >= needed) return;
  throw Error(ErrorCode::OutOfMemory,
              fmt::format("the address space is limited to {} MiB; expected at least {} MiB on {} cores",
                          limit.rlim_cur / kMiB, needed / kMiB, cores),
              alone ? "raise the limit (ulimit -v), or allow the process fewer cores (taskset)"
                    : "raise the limit (ulimit -v), or set OPENBLAS_NUM_THREADS=1, which coala loses nothing by");
}

}  // namespace coala
