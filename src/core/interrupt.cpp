#include "core/interrupt.h"

#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>

#include "core/error.h"
#include "core/work_context.h"

namespace coala {
namespace {

constexpr int kStopped = 130;

/// What a signal handler and all threads look at.
using Shared = std::atomic<int>;
static_assert(Shared::is_always_lock_free);

/// After the first signal; together with the end itself it stays within a second.
Shared g_grace_ms = 700;
Shared g_signals = 0;
Shared g_last_signal = 0;

constexpr std::size_t kLongestWords = 512;
char g_last_words[kLongestWords];
std::atomic<std::size_t> g_last_words_length{0};

/// What a signal handler may look at: no memory of the heap, and complete once `used` says so.
struct Slot {
  std::atomic<bool> used{false};
  EndsWithProcess::Kind kind = EndsWithProcess::Kind::File;
  pid_t group = 0;
  char path[4096] = {};
};
Slot g_slots[32];
std::mutex g_taking;

/// Ends the process where it is. Only calls that a signal handler may make.
[[noreturn]] void end_now() {
  for (const Slot& slot : g_slots) {
    if (!slot.used) continue;
    switch (slot.kind) {
      case EndsWithProcess::Kind::File:
        ::unlink(slot.path);
        break;
      case EndsWithProcess::Kind::Folder:
        ::rmdir(slot.path);
        break;
      case EndsWithProcess::Kind::Processes:
        if (slot.group > 0) ::kill(-slot.group, SIGKILL);  // 0 would be our own
        break;
    }
  }
  const auto write = [](const char* text, std::size_t length) {
    if (::write(STDERR_FILENO, text, length) < 0) return;
  };
  constexpr std::string_view kWho = "coala: ";
  if (const std::size_t length = g_last_words_length; length > 0) {
    write(kWho.data(), kWho.size());
    write(g_last_words, length);
  }
  ::_exit(kStopped);
}

extern "C" void on_stop(int signal) {
  const int error = errno;  // of the call that the signal came into
  g_last_signal = signal;
  if (g_signals.fetch_add(1) > 0) end_now();
  itimerval grace{};
  grace.it_value.tv_sec = g_grace_ms / 1000;
  grace.it_value.tv_usec = g_grace_ms % 1000 * 1000;
  ::setitimer(ITIMER_REAL, &grace, nullptr);
  errno = error;
}

extern "C" void on_grace_over(int) {
  if (g_signals > 0) end_now();
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction before = {};
  if (sigaction(signal, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) return;  // as nohup and `&` ask for
  struct sigaction action = {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(signal, &action, nullptr);
}

int take_slot(EndsWithProcess::Kind kind, pid_t group, const char* path) {
  const std::lock_guard lock(g_taking);
  for (std::size_t k = 0; k < std::size(g_slots); ++k) {
    Slot& slot = g_slots[k];
    const std::size_t length = std::strlen(path);
    if (slot.used || length >= sizeof slot.path) continue;
    slot.kind = kind;
    slot.group = group;
    std::memcpy(slot.path, path, length + 1);
    slot.used = true;
    return static_cast<int>(k);
  }
  return -1;
}

}  // namespace

void install_stop_handler() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) handle(signal, on_stop);
  handle(SIGALRM, on_grace_over);
  std::signal(SIGPIPE, SIG_IGN);
}

void set_stop_grace(int milliseconds) noexcept {
  g_grace_ms = milliseconds;
}

void set_last_words(std::string_view text) noexcept {
  g_last_words_length = 0;
  const std::size_t length = text.copy(g_last_words, kLongestWords);
  g_last_words_length = length;
}

bool interrupted() noexcept {
  const std::atomic<bool>* const stop = work_context().stop;
  return g_signals != 0 || (stop != nullptr && stop->load(std::memory_order_relaxed));
}

bool forgive_interrupt() noexcept {
  if (g_signals != 1 || g_last_signal != SIGINT) return false;
  const itimerval none{};
  ::setitimer(ITIMER_REAL, &none, nullptr);
  g_signals = 0;
  return true;
}

void throw_if_interrupted() {
  if (interrupted()) {
    throw Error(ErrorCode::Interrupted, "stopped on request");
  }
}

EndsWithProcess::EndsWithProcess(Kind kind, const std::filesystem::path& path) noexcept
    : slot_(take_slot(kind, 0, path.c_str())) {}

EndsWithProcess::EndsWithProcess(pid_t group) noexcept : slot_(take_slot(Kind::Processes, group, "")) {}

EndsWithProcess::~EndsWithProcess() {
  if (slot_ >= 0) g_slots[slot_].used = false;
}

}  // namespace coala
