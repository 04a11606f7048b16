// Preloaded by fault_test.py: the n-th call of one function on a file of the run fails. COALA_FAULT is
// "function:n:errno"; instead of failing, with the error -1 a read or write takes half of the bytes. COALA_FAULT_HIT
// names a file that is made when the fault has happened; COALA_FAULT_COUNT one that gets "function calls" a line.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum function { OPEN, WRITE, READ, FSYNC, RENAME, MMAP, CLOSE, FTRUNCATE, MKDIR, FUNCTIONS };
static const char *const names[FUNCTIONS] = {"open", "write", "read", "fsync", "rename", "mmap", "close", "ftruncate",
                                             "mkdir"};
static int calls[FUNCTIONS];
enum { NONE, FAIL, SHORT };

/// The faults are the program's, not those of what it starts.
__attribute__((constructor)) static void begin(void) { unsetenv("LD_PRELOAD"); }

static void write_counts(void) {
  const char *path = getenv("COALA_FAULT_COUNT");
  FILE *(*real_fopen)(const char *, const char *) = dlsym(RTLD_NEXT, "fopen");
  FILE *file = path ? real_fopen(path, "w") : NULL;
  if (!file) return;
  for (int i = 0; i < FUNCTIONS; ++i) fprintf(file, "%s %d\n", names[i], calls[i]);
  fclose(file);
}

/// With this the program ends.
void _Exit(int status) {
  write_counts();
  void (*real)(int) __attribute__((noreturn)) = dlsym(RTLD_NEXT, "_Exit");
  real(status);
}

static int faulty(enum function function) {
  const int call = __atomic_add_fetch(&calls[function], 1, __ATOMIC_SEQ_CST);
  const char *fault = getenv("COALA_FAULT");
  const size_t length = strlen(names[function]);
  if (!fault || strncmp(fault, names[function], length) != 0 || fault[length] != ':') return NONE;
  int n = 0;
  int error = 0;
  if (sscanf(fault + length + 1, "%d:%d", &n, &error) != 2 || call != n) return NONE;
  const char *hit = getenv("COALA_FAULT_HIT");
  if (hit) {
    int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    int (*real_close)(int) = dlsym(RTLD_NEXT, "close");
    real_close(real_open(hit, O_WRONLY | O_CREAT, 0600));
  }
  if (error < 0) return SHORT;
  errno = error;
  return FAIL;
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

#define OPEN(name)                                                  \
  int name(const char *path, int flags, ...) {                      \
    va_list list;                                                   \
    va_start(list, flags);                                          \
    const mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0; \
    va_end(list);                                                   \
    if (of_run(path) && faulty(OPEN)) return -1;                    \
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #name);  \
    return real(path, flags, mode);                                 \
  }
OPEN(open)
OPEN(open64)

#define FOPEN(name)                                                         \
  FILE *name(const char *path, const char *mode) {                          \
    if (of_run(path) && faulty(OPEN)) return NULL;                          \
    FILE *(*real)(const char *, const char *) = dlsym(RTLD_NEXT, #name);    \
    return real(path, mode);                                                \
  }
FOPEN(fopen)
FOPEN(fopen64)

#define TRANSFER(name, function, bytes_type)                                        \
  ssize_t name(int descriptor, bytes_type bytes, size_t count) {                    \
    const int fault = descriptor_of_run(descriptor) ? faulty(function) : NONE;      \
    if (fault == FAIL) return -1;                                                   \
    ssize_t (*real)(int, bytes_type, size_t) = dlsym(RTLD_NEXT, #name);             \
    return real(descriptor, bytes, fault == SHORT ? (count + 1) / 2 : count);       \
  }
TRANSFER(write, WRITE, const void *)
TRANSFER(read, READ, void *)

#define TRANSFER_AT(name, function, bytes_type, offset_type)                          \
  ssize_t name(int descriptor, bytes_type bytes, size_t count, offset_type offset) {  \
    const int fault = descriptor_of_run(descriptor) ? faulty(function) : NONE;        \
    if (fault == FAIL) return -1;                                                     \
    ssize_t (*real)(int, bytes_type, size_t, offset_type) = dlsym(RTLD_NEXT, #name);  \
    return real(descriptor, bytes, fault == SHORT ? (count + 1) / 2 : count, offset); \
  }
TRANSFER_AT(pwrite, WRITE, const void *, off_t)
TRANSFER_AT(pwrite64, WRITE, const void *, off64_t)
TRANSFER_AT(pread, READ, void *, off_t)
TRANSFER_AT(pread64, READ, void *, off64_t)

#define FLUSH(name)                                                 \
  int name(int descriptor) {                                        \
    if (descriptor_of_run(descriptor) && faulty(FSYNC)) return -1;  \
    int (*real)(int) = dlsym(RTLD_NEXT, #name);                     \
    return real(descriptor);                                        \
  }
FLUSH(fsync)
FLUSH(fdatasync)

/// As the kernel does it: the descriptor is gone all the same.
int close(int descriptor) {
  const int fault = descriptor_of_run(descriptor) ? faulty(CLOSE) : NONE;
  const int error = errno;
  int (*real)(int) = dlsym(RTLD_NEXT, "close");
  const int result = real(descriptor);
  if (fault == NONE) return result;
  errno = error;
  return -1;
}

int rename(const char *from, const char *to) {
  if (of_run(to) && faulty(RENAME)) return -1;
  int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
  return real(from, to);
}

int mkdir(const char *path, mode_t mode) {
  if (of_run(path) && faulty(MKDIR)) return -1;
  int (*real)(const char *, mode_t) = dlsym(RTLD_NEXT, "mkdir");
  return real(path, mode);
}

#define TRUNCATE(name, offset_type)                                     \
  int name(int descriptor, offset_type length) {                        \
    if (descriptor_of_run(descriptor) && faulty(FTRUNCATE)) return -1;  \
    int (*real)(int, offset_type) = dlsym(RTLD_NEXT, #name);            \
    return real(descriptor, length);                                    \
  }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define MMAP(name, offset_type)                                                                            \
  void *name(void *address, size_t length, int protection, int flags, int descriptor, offset_type offset) { \
    if (descriptor >= 0 && descriptor_of_run(descriptor) && faulty(MMAP)) return MAP_FAILED;               \
    void *(*real)(void *, size_t, int, int, int, offset_type) = dlsym(RTLD_NEXT, #name);                   \
    return real(address, length, protection, flags, descriptor, offset);                                   \
  }
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)
