// Preloaded by environment_test.py. With COALA_CLOCK_BACKWARDS every look at a clock sees an earlier time than the one
// before; with COALA_USE_LOCALE the program is in the locale of its environment, as a program that embeds it may be.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <locale.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long looks = 0;

__attribute__((constructor)) static void begin(void) {
  if (getenv("COALA_USE_LOCALE")) setlocale(LC_ALL, "");
}

/// Half a second more with each look.
static long set_back_ms(void) {
  return getenv("COALA_CLOCK_BACKWARDS") ? 500 * __atomic_add_fetch(&looks, 1, __ATOMIC_SEQ_CST) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
  const int result = real(clock, now);
  const long back_ms = result == 0 ? set_back_ms() : 0;
  now->tv_sec -= back_ms / 1000;
  now->tv_nsec -= back_ms % 1000 * 1000000;
  if (now->tv_nsec < 0) {
    now->tv_nsec += 1000000000;
    --now->tv_sec;
  }
  return result;
}

int gettimeofday(struct timeval *now, void *zone) {
  int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
  const int result = real(now, zone);
  now->tv_sec -= set_back_ms() / 1000;
  return result;
}

time_t time(time_t *to) {
  time_t (*real)(time_t *) = dlsym(RTLD_NEXT, "time");
  const time_t now = real(NULL) - set_back_ms() / 1000;
  if (to) *to = now;
  return now;
}
