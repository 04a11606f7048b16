// Preloaded by fault_test.py: the n-th call of one function on a file of the run fails. COALA_FAULT is
// "function:n:errno"; COALA_FAULT_HIT names a file that is made when the fault has happened.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int faulty(const char *function) {
  static int calls = 0;
  const char *fault = getenv("COALA_FAULT");
  const size_t length = strlen(function);
  if (!fault || strncmp(fault, function, length) != 0 || fault[length] != ':') return 0;
  int n = 0;
  int error = 0;
  if (sscanf(fault + length + 1, "%d:%d", &n, &error) != 2) return 0;
  if (__atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST) != n) return 0;
  const char *hit = getenv("COALA_FAULT_HIT");
  if (hit) {
    int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    close(real_open(hit, O_WRONLY | O_CREAT, 0600));
  }
  errno = error;
  return 1;
}

/// Only files of the run: what the system keeps for itself is not under test.
static int of_run(const char *path) {
  const char *folder = getenv("COALA_FAULT_FOLDER");
  return folder && strncmp(path, folder, strlen(folder)) == 0;
}

static int descriptor_of_run(int descriptor) {
  char link[64];
  char path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = '\0';
  return of_run(path);
}

#define OPEN(name)                                                        \
  int name(const char *path, int flags, ...) {                            \
    va_list list;                                                         \
    va_start(list, flags);                                                \
    const mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;       \
    va_end(list);                                                         \
    if (of_run(path) && faulty("open")) return -1;                        \
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #name);        \
    return real(path, flags, mode);                                       \
  }
OPEN(open)
OPEN(open64)

FILE *fopen64(const char *path, const char *mode) {
  if (of_run(path) && faulty("open")) return NULL;
  FILE *(*real)(const char *, const char *) = dlsym(RTLD_NEXT, "fopen64");
  return real(path, mode);
}

FILE *fopen(const char *path, const char *mode) {
  if (of_run(path) && faulty("open")) return NULL;
  FILE *(*real)(const char *, const char *) = dlsym(RTLD_NEXT, "fopen");
  return real(path, mode);
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
  if (descriptor_of_run(descriptor) && faulty("write")) return -1;
  ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
  return real(descriptor, bytes, count);
}

ssize_t read(int descriptor, void *bytes, size_t count) {
  if (descriptor_of_run(descriptor) && faulty("read")) return -1;
  ssize_t (*real)(int, void *, size_t) = dlsym(RTLD_NEXT, "read");
  return real(descriptor, bytes, count);
}

int fsync(int descriptor) {
  if (descriptor_of_run(descriptor) && faulty("fsync")) return -1;
  int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
  return real(descriptor);
}

int rename(const char *from, const char *to) {
  if (of_run(to) && faulty("rename")) return -1;
  int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
  return real(from, to);
}

#define MMAP(name, offset_type)                                                                            \
  void *name(void *address, size_t length, int protection, int flags, int descriptor, offset_type offset) { \
    if (descriptor >= 0 && descriptor_of_run(descriptor) && faulty("mmap")) return MAP_FAILED;             \
    void *(*real)(void *, size_t, int, int, int, offset_type) = dlsym(RTLD_NEXT, #name);                   \
    return real(address, length, protection, flags, descriptor, offset);                                   \
  }
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)
