#include "lm/probe.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <new>

namespace coala {
namespace {

constexpr unsigned kTimeLimit_s = 5;
constexpr rlim_t kMemory_bytes = rlim_t{1} << 28;  ///< beyond what the process has already

rlim_t address_space_bytes() {
  long pages = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  if (std::fscanf(file, "%ld", &pages) != 1) pages = 0;
  std::fclose(file);
  return static_cast<rlim_t>(pages) * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

bool survives_in_child(const std::function<void()>& action) {
  const rlim_t present_bytes = address_space_bytes();
  const pid_t child = ::fork();
  if (child < 0) return true;  // no process to spare: go on without the probe
  if (child == 0) {
    for (const int number : {SIGSEGV, SIGABRT, SIGBUS, SIGALRM, SIGINT, SIGTERM}) std::signal(number, SIG_DFL);
    const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere >= 0) {
      ::dup2(nowhere, STDOUT_FILENO);
      ::dup2(nowhere, STDERR_FILENO);
    }
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    if (present_bytes > 0) {
      const rlimit memory{present_bytes + kMemory_bytes, present_bytes + kMemory_bytes};
      ::setrlimit(RLIMIT_AS, &memory);
    }
    ::alarm(kTimeLimit_s);
    // Not std::bad_alloc: the action may swallow exceptions, and would then pass here and take all memory there.
    std::set_new_handler([] { ::_exit(1); });
    try {
      action();
    } catch (...) {
    }
    ::_exit(0);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return true;  // somebody else collected it; no verdict
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace coala
