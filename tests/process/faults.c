/* A disk and a memory that fail at a moment of the test's choice: preloaded into observerd by test_faults.py.
 *
 * The file OBS_FAULTS is mapped by both. It holds a row a function (`calls`, below, in the order of FUNCTIONS); the
 * test says which calls of it fail, and with what; this library counts calls and failures. Only calls of the program
 * itself count, not those of other libraries, but for accept; of the functions that write, only those on files.
 * A failed fdatasync loses what was written since the last one that worked, as a disk does: the bytes become 0. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* clang-format off */
#define FUNCTIONS(X) X(open) X(read) X(write) X(datasync) X(sync) X(rename) X(unlink) X(truncate) X(memory) X(accept)
/* clang-format on */
#define F(name) CALL_##name,
enum { FUNCTIONS(F) CALLS };
#undef F
enum { SHORT = 100000 }; /* in place of an errno: half of the bytes are written */

typedef struct {
  _Atomic uint64_t calls, first, count, error, failed; /* calls first to first + count - 1 fail; first 0: none */
} call;
typedef struct {
  call calls[CALLS];
  _Atomic int64_t clock_s; /* how far the wall clock is off */
} control;

static control *shared;
static uintptr_t program_start, program_end;

static int find_program(struct dl_phdr_info *info, size_t size, void *arg) {
  (void)size;
  (void)arg;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *p = &info->dlpi_phdr[i];
    if (p->p_type != PT_LOAD || !(p->p_flags & PF_X)) continue;
    program_start = (uintptr_t)(info->dlpi_addr + p->p_vaddr);
    program_end = program_start + p->p_memsz;
  }
  return 1; /* the first one is the program */
}

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("OBS_FAULTS");
  int fd = path != NULL ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  dl_iterate_phdr(find_program, NULL);
  void *p = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (p != MAP_FAILED) shared = p;
}

#define CALLER ((uintptr_t)__builtin_return_address(0))

/* Counts a call. The errno with which it has to fail, or 0. */
static int fault(int which, uintptr_t caller) {
  if (shared == NULL || (which != CALL_accept && (caller < program_start || caller >= program_end))) return 0;
  call *c = &shared->calls[which];
  uint64_t n = atomic_fetch_add(&c->calls, 1) + 1, first = atomic_load(&c->first);
  if (first == 0 || n < first || n - first >= atomic_load(&c->count)) return 0;
  atomic_fetch_add(&c->failed, 1);
  return (int)atomic_load(&c->error);
}

static bool is_file(int fd) {
  struct stat st;
  return fd > 2 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* The function as it is without this library. */
#define REAL(name)                                                                                                     \
  static __typeof__(&name) real_##name;                                                                                \
  static __typeof__(&name) get_##name(void) {                                                                          \
    if (real_##name == NULL) *(void **)&real_##name = dlsym(RTLD_NEXT, #name);                                         \
    return real_##name;                                                                                                \
  }
#define FAIL_IF(which)                                                                                                 \
  int error = fault(CALL_##which, CALLER);                                                                             \
  if (error != 0) {                                                                                                    \
    errno = error;                                                                                                     \
    return -1;                                                                                                         \
  }

/* ---- files ---- */

/* Up to where each file is on the disk: what fdatasync reached. */
enum { FDS = 4096 };
static _Atomic int64_t synced[FDS];

static void note_synced(int fd) {
  struct stat st;
  if (fd >= 0 && fd < FDS && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) synced[fd] = st.st_size;
}

static void lose_unsynced(int fd) {
  char path[64], zeros[4096] = {0};
  struct stat st;
  if (fd < 0 || fd >= FDS || fstat(fd, &st) != 0) return;
  size_t digits = sizeof(path);
  path[--digits] = '\0';
  for (int n = fd; digits == sizeof(path) - 1 || n > 0; n /= 10) path[--digits] = (char)('0' + n % 10);
  static const char folder[] = "/proc/self/fd/";
  digits -= sizeof(folder) - 1;
  memcpy(path + digits, folder, sizeof(folder) - 1);
  int again = (int)syscall(SYS_openat, AT_FDCWD, path + digits, O_WRONLY | O_CLOEXEC); /* without O_APPEND */
  for (int64_t at = synced[fd]; again >= 0 && at < st.st_size; at += (int64_t)sizeof(zeros)) {
    int64_t n = st.st_size - at;
    if (syscall(SYS_pwrite64, again, zeros, n < (int64_t)sizeof(zeros) ? (size_t)n : sizeof(zeros), at) < 0) break;
  }
  if (again >= 0) close(again);
}

REAL(open)
int open(const char *path, int flags, ...) {
  va_list ap;
  va_start(ap, flags);
  mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;
  va_end(ap);
  FAIL_IF(open)
  int fd = get_open()(path, flags, mode);
  note_synced(fd);
  return fd;
}

REAL(openat)
int openat(int dir_fd, const char *path, int flags, ...) {
  va_list ap;
  va_start(ap, flags);
  mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;
  va_end(ap);
  FAIL_IF(open)
  int fd = get_openat()(dir_fd, path, flags, mode);
  note_synced(fd);
  return fd;
}

REAL(mkdir)
int mkdir(const char *path, mode_t mode) {
  FAIL_IF(open)
  return get_mkdir()(path, mode);
}

REAL(pread)
ssize_t pread(int fd, void *p, size_t n, off_t offset) {
  FAIL_IF(read)
  return get_pread()(fd, p, n, offset);
}

REAL(write)
ssize_t write(int fd, const void *p, size_t n) {
  if (!is_file(fd)) return get_write()(fd, p, n);
  int error = fault(CALL_write, CALLER);
  if (error == SHORT) return get_write()(fd, p, n > 1 ? n / 2 : n);
  if (error == 0) return get_write()(fd, p, n);
  errno = error;
  return -1;
}

REAL(pwritev)
ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t offset) {
  int error = fault(CALL_write, CALLER);
  if (error == SHORT) {
    struct iovec half = {iov->iov_base, iov->iov_len > 1 ? iov->iov_len / 2 : iov->iov_len};
    return get_pwritev()(fd, &half, 1, offset);
  }
  if (error == 0) return get_pwritev()(fd, iov, n, offset);
  errno = error;
  return -1;
}

REAL(fdatasync)
int fdatasync(int fd) {
  int error = fault(CALL_datasync, CALLER);
  if (error != 0) {
    lose_unsynced(fd);
    errno = error;
    return -1;
  }
  note_synced(fd);
  return get_fdatasync()(fd);
}

REAL(fsync)
int fsync(int fd) {
  FAIL_IF(sync)
  note_synced(fd);
  return get_fsync()(fd);
}

REAL(renameat)
int renameat(int from_dir, const char *from, int to_dir, const char *to) {
  FAIL_IF(rename)
  return get_renameat()(from_dir, from, to_dir, to);
}

REAL(unlinkat)
int unlinkat(int dir_fd, const char *path, int flags) {
  FAIL_IF(unlink)
  return get_unlinkat()(dir_fd, path, flags);
}

REAL(ftruncate)
int ftruncate(int fd, off_t length) {
  FAIL_IF(truncate)
  int rc = get_ftruncate()(fd, length);
  if (rc == 0 && fd >= 0 && fd < FDS && synced[fd] > length) synced[fd] = length;
  return rc;
}

/* ---- connections ---- */

REAL(accept4)
int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags) {
  FAIL_IF(accept)
  return get_accept4()(fd, address, size, flags);
}

REAL(accept)
int accept(int fd, struct sockaddr *address, socklen_t *size) {
  FAIL_IF(accept)
  return get_accept()(fd, address, size);
}

/* ---- the clock ---- */

REAL(clock_gettime)
int clock_gettime(clockid_t clock, struct timespec *now) {
  int rc = get_clock_gettime()(clock, now);
  if (rc == 0 && shared != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    now->tv_sec += atomic_load(&shared->clock_s);
  return rc;
}

/* ---- memory: not where a sanitizer has its own ---- */

#ifndef OBS_FAULTS_NO_MEMORY
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);

#define NULL_IF_FAULT                                                                                                  \
  if (fault(CALL_memory, CALLER) != 0) {                                                                               \
    errno = ENOMEM;                                                                                                    \
    return NULL;                                                                                                       \
  }

void *malloc(size_t size) {
  NULL_IF_FAULT
  return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
  NULL_IF_FAULT
  return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size) {
  NULL_IF_FAULT
  return __libc_realloc(p, size);
}

void *reallocarray(void *p, size_t n, size_t size) {
  NULL_IF_FAULT
  size_t bytes;
  if (__builtin_mul_overflow(n, size, &bytes)) {
    errno = ENOMEM;
    return NULL;
  }
  return __libc_realloc(p, bytes);
}

char *strdup(const char *text) {
  NULL_IF_FAULT
  size_t n = strlen(text) + 1;
  char *copy = __libc_malloc(n);
  return copy != NULL ? memcpy(copy, text, n) : NULL;
}
#endif
