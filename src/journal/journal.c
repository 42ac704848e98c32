/* Opening, locking, closing; file names; errors and counters. */
#include "journal/journal.h"

#include "base/clock.h"
#include "base/log.h"
#include "journal/internal.h"
#include "jsonl/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TELL_BYTES = 32 << 20, TELL_MS = 2000 };
enum { DEFAULT_BLOCK = 1 << 20, DEFAULT_REJECTED = 64 << 20, NAME_SPARE = 32 };

static void numbered_name(const obs_journal *j, uint64_t first_seq, const char *ext, obs_journal_file_name out) {
  (void)snprintf(out, sizeof(obs_journal_file_name), "%.*s-%" PRIu64 "%s", j->stem_len, j->name, first_seq, ext);
}

void obs_journal_rotated_name(const obs_journal *j, uint64_t first_seq, obs_journal_file_name out) {
  numbered_name(j, first_seq, j->name + j->stem_len, out);
}

void obs_journal_sidecar_name(const obs_journal *j, uint64_t first_seq, obs_journal_file_name out) {
  numbered_name(j, first_seq, ".idx", out);
}

void obs_journal_times_name(const obs_journal *j, uint64_t first_seq, obs_journal_file_name out) {
  numbered_name(j, first_seq, ".times", out);
}

void obs_journal_keys_name(const obs_journal *j, uint64_t first_seq, obs_journal_file_name out) {
  numbered_name(j, first_seq, ".keys", out);
}

void obs_journal_active_sidecar_name(const obs_journal *j, obs_journal_file_name out) {
  (void)snprintf(out, sizeof(obs_journal_file_name), "%.*s.idx", j->stem_len, j->name);
}

void obs_journal_segment_name(const obs_journal *j, size_t i, obs_journal_file_name out) {
  if (i + 1 == j->nsegments) {
    (void)snprintf(out, sizeof(obs_journal_file_name), "%s", j->name);
  } else {
    obs_journal_rotated_name(j, j->segments[i].index.first_seq, out);
  }
}

static observer_err failed(obs_journal *j, const char *verb, const char *name, int errnum) {
  (void)snprintf(j->error, sizeof(j->error), "cannot %s %s/%s: %s", verb, j->dir, name, strerror(errnum));
  pthread_mutex_lock(&j->lock);
  j->counts.failures++;
  pthread_mutex_unlock(&j->lock);
  observer_err err = obs_file_err(errnum);
  return err == OBSERVER_E_NOTFOUND ? OBSERVER_E_IO : err;
}

observer_err obs_journal_fail(obs_journal *j, const char *verb, const char *name) {
  return failed(j, verb, name, errno);
}

observer_err obs_journal_fail_nomem(obs_journal *j, const char *verb) {
  return failed(j, verb, j->name, ENOMEM);
}

const char *obs_journal_error(const obs_journal *j) {
  return j->error;
}

uint64_t obs_journal_next_seq(const obs_journal *j) {
  return atomic_load_explicit(&j->next_seq, memory_order_acquire);
}

void obs_journal_get_counts(obs_journal *j, obs_journal_counts *out) {
  pthread_mutex_lock(&j->lock);
  *out = j->counts;
  out->segments = j->nsegments;
  out->bytes = j->replayed ? j->committed : obs_journal_active(j)->size;
  for (size_t i = 0; i + 1 < j->nsegments; i++) out->bytes += j->segments[i].size;
  pthread_mutex_unlock(&j->lock);
}

int obs_journal_open_segment(obs_journal *j, size_t i) {
  if (i + 1 == j->nsegments) return fcntl(j->fd, F_DUPFD_CLOEXEC, 0);
  obs_journal_file_name name;
  obs_journal_segment_name(j, i, name);
  return openat(j->dir_fd, name, O_RDONLY | O_CLOEXEC);
}

void obs_journal_open_times(const obs_journal *j, size_t i, int fd, obs_times_reader *r) {
  obs_journal_file_name name;
  obs_journal_times_name(j, j->segments[i].index.first_seq, name);
  obs_times_open(r, j->dir_fd, name, fd, j->segments[i].index.first_seq);
}

void obs_journal_save_sidecar(obs_journal *j, size_t i) {
  obs_journal_file_name name;
  obs_journal_sidecar_name(j, j->segments[i].index.first_seq, name);
  if (obs_index_write_sidecar(&j->segments[i].index, j->dir_fd, name, false)) return;
  obs_log_warn("journal", "cannot write %s/%s: %s; it is made again at the next start", j->dir, name, strerror(errno));
}

/* No other file of the directory has these letters in its name (journal.h). */
static bool is_journals(const char *name, size_t stem_len) {
  for (size_t i = 0; i + 3 <= stem_len; i++) {
    if (memcmp(name + i, "ops", 3) == 0 || memcmp(name + i, "obs", 3) == 0) return true;
  }
  return false;
}

static bool is_rotated_or_found(const char *name, size_t stem_len) {
  size_t digits = 0;
  while (digits < stem_len && name[stem_len - digits - 1] >= '0' && name[stem_len - digits - 1] <= '9') digits++;
  return digits > 0 && digits < stem_len && name[stem_len - digits - 1] == '-';
}

static observer_err set_names(obs_journal *j) {
  const char *name = j->opts.name == NULL ? "ops.jsonl" : j->opts.name, *dot = strrchr(name, '.');
  size_t stem = dot == NULL ? strlen(name) : (size_t)(dot - name);
  j->stem_len = (int)stem;
  j->opts.dir = j->dir = strdup(j->opts.dir);
  j->opts.name = j->name = strdup(name);
  if (j->dir == NULL || j->name == NULL) return obs_journal_fail_nomem(j, "open");
  /* A bare file name, with room for a seq and an extension. */
  const char *ext = j->name + stem;
  bool bare = stem > 0 && strchr(j->name, '/') == NULL && strlen(j->name) <= NAME_MAX - NAME_SPARE &&
              strcmp(ext, ".idx") != 0 && strcmp(ext, ".times") != 0 && strcmp(ext, ".keys") != 0 &&
              strcmp(ext, ".new") != 0;
  if (bare && (j->opts.beside || (is_journals(j->name, stem) && !is_rotated_or_found(j->name, stem)))) {
    return OBSERVER_E_OK;
  }
  (void)snprintf(j->error, sizeof(j->error),
                 "%s: cannot be the name of a journal: it must be a file name with \"ops\" or \"obs\" in it, which the "
                 "other files of the directory do not have, and end neither in a number nor in .idx%s or .new",
                 j->name,
                 strcmp(ext, ".times") == 0  ? ", .times"
                 : strcmp(ext, ".keys") == 0 ? ", .keys"
                                             : "");
  return OBSERVER_E_INVALID;
}

/* Both are held: the file's lock can be lost with the file, and older observers know no other. */
static observer_err in_use(obs_journal *j, int dir_fd) {
  char pid[16] = {0};
  int fd = openat(dir_fd, OBS_JOURNAL_LOCK, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 || obs_file_read_at(fd, pid, sizeof(pid) - 1, 0) < 0) pid[0] = 0;
  if (fd >= 0) (void)close(fd); /* read only */
  pid[strspn(pid, "0123456789")] = 0;
  (void)snprintf(j->error, sizeof(j->error), "%s/%s: in use by another observerd (pid %s)", j->dir, OBS_JOURNAL_LOCK,
                 pid[0] == 0 ? "unknown" : pid);
  return OBSERVER_E_LOCKED;
}

static observer_err take_locks(obs_journal *j, int dir_fd, int *lock_fd) {
  if (flock(dir_fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return in_use(j, dir_fd);
    /* Some network file systems lock no directories. */
    obs_log_warn("journal", "cannot lock the directory %s: %s; only its lock file is locked", j->dir, strerror(errno));
  }
  *lock_fd = openat(dir_fd, OBS_JOURNAL_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, OBS_FILE_MODE);
  if (*lock_fd < 0) return obs_journal_fail(j, "open", OBS_JOURNAL_LOCK);
  if (flock(*lock_fd, LOCK_EX | LOCK_NB) != 0) {
    return errno == EWOULDBLOCK ? in_use(j, dir_fd) : obs_journal_fail(j, "lock", OBS_JOURNAL_LOCK);
  }
  char pid[16];
  int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
  struct iovec iov = {pid, (size_t)n};
  if (ftruncate(*lock_fd, 0) != 0 || !obs_file_write_at(*lock_fd, &iov, 1, 0)) {
    obs_log_warn("journal", "cannot write the pid to %s/%s: %s; the lock holds", j->dir, OBS_JOURNAL_LOCK,
                 strerror(errno));
  }
  return OBSERVER_E_OK;
}

observer_err obs_journal_open_dir(obs_journal *j) {
  int lock_fd = -1;
  bool made = obs_file_make_dirs(j->dir);
  int fd = made ? open(j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  if (fd < 0) {
    int errnum = errno;
    (void)snprintf(j->error, sizeof(j->error), "cannot %s data directory %s: %s", made ? "open" : "create", j->dir,
                   strerror(errnum));
    observer_err err = obs_file_err(errnum);
    return err == OBSERVER_E_NOTFOUND ? OBSERVER_E_IO : err;
  }
  observer_err err = j->opts.beside ? OBSERVER_E_OK : take_locks(j, fd, &lock_fd);
  if (err != OBSERVER_E_OK) {
    if (lock_fd >= 0) (void)close(lock_fd);
    (void)close(fd);
    return err;
  }
  if (j->lock_fd >= 0) (void)close(j->lock_fd); /* of a directory that is not there any more */
  j->lock_fd = lock_fd;
  if (j->dir_fd < 0) {
    j->dir_fd = fd;
    return OBSERVER_E_OK;
  }
  /* The same number, as other threads open files by it: each does so in the one directory or in the other. */
  if (dup3(fd, j->dir_fd, O_CLOEXEC) < 0) err = obs_journal_fail(j, "open", "");
  (void)close(fd); /* the lock belongs to the duplicate too */
  return err;
}

/* First seq in the name of a rotated segment, 0 when `name` is not one. */
static uint64_t rotated_seq(const obs_journal *j, const char *name) {
  if (strncmp(name, j->name, (size_t)j->stem_len) != 0 || name[j->stem_len] != '-') return 0;
  const char *digits = name + j->stem_len + 1;
  size_t n = strspn(digits, "0123456789");
  if (n == 0 || n > 19 || digits[0] == '0' || strcmp(digits + n, j->name + j->stem_len) != 0) return 0;
  return strtoull(digits, NULL, 10);
}

static observer_err add_segment(obs_journal *j, const char *name, int fd, uint64_t first_seq) {
  struct stat st;
  if ((fd >= 0 ? fstat(fd, &st) : fstatat(j->dir_fd, name, &st, 0)) != 0) return obs_journal_fail(j, "stat", name);
  if (!S_ISREG(st.st_mode)) {
    (void)snprintf(j->error, sizeof(j->error), "%s/%s: not a regular file", j->dir, name);
    return OBSERVER_E_INVALID;
  }
  obs_journal_segment *s = reallocarray(j->segments, j->nsegments + 1, sizeof(*s));
  if (s == NULL) return obs_journal_fail_nomem(j, "open");
  j->segments = s;
  s += j->nsegments++;
  s->size = (uint64_t)st.st_size;
  s->mtime_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
  if (s->mtime_ms > obs_clock_receipt_ms()) s->mtime_ms = obs_clock_receipt_ms();
  s->newest_ms = INT64_MIN;
  obs_index_init(&s->index, first_seq);
  return OBSERVER_E_OK;
}

static int by_first_seq(const void *a, const void *b) {
  const obs_journal_segment *x = a, *y = b;
  return (x->index.first_seq > y->index.first_seq) - (x->index.first_seq < y->index.first_seq);
}

static observer_err list_rotated(obs_journal *j) {
  DIR *d = opendir(j->dir);
  if (d == NULL) return obs_journal_fail(j, "list", "");
  observer_err err = OBSERVER_E_OK;
  errno = 0;
  for (struct dirent *e; err == OBSERVER_E_OK && (e = readdir(d)) != NULL; errno = 0) {
    uint64_t first_seq = rotated_seq(j, e->d_name);
    if (first_seq != 0) err = add_segment(j, e->d_name, -1, first_seq);
  }
  if (err == OBSERVER_E_OK && errno != 0) err = obs_journal_fail(j, "list", "");
  (void)closedir(d);
  if (err != OBSERVER_E_OK || j->nsegments == 0) return err;
  qsort(j->segments, j->nsegments, sizeof(obs_journal_segment), by_first_seq);
  /* A sidecar that does not cover exactly its file is ignored; replay makes it again. */
  for (obs_journal_segment *s = j->segments; s < j->segments + j->nsegments; s++) {
    obs_journal_file_name name;
    obs_index x = {0};
    obs_journal_sidecar_name(j, s->index.first_seq, name);
    bool whole =
        obs_index_read_sidecar(&x, j->dir_fd, name) && x.first_seq == s->index.first_seq && x.indexed == s->size;
    obs_index_fini(whole ? &s->index : &x);
    if (whole) s->index = x;
  }
  return err;
}

static observer_err open_active(obs_journal *j) {
  j->fd = openat(j->dir_fd, j->name,
                 O_RDWR | O_APPEND | O_CLOEXEC | O_NONBLOCK); /* a pipe of that name must not stop the start */
  if (j->fd < 0 && errno == ENOENT) {
    j->fd = openat(j->dir_fd, j->name, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, OBS_FILE_MODE);
    if (j->fd >= 0 && fsync(j->dir_fd) != 0) return obs_journal_fail(j, "sync", "");
  }
  if (j->fd < 0) return obs_journal_fail(j, "open", j->name);
  /* Its first seq follows from the rotated segments, or is in its sidecar, which is left from before a rotation or
   * tells of rows that were lost (0: replay finds it); or it is 1. */
  if (!j->opts.beside) {
    obs_journal_file_name name;
    obs_index x = {0};
    obs_journal_active_sidecar_name(j, name);
    if (obs_index_read_sidecar(&x, j->dir_fd, name)) j->noted_seq = x.first_seq;
    obs_index_fini(&x);
  }
  uint64_t first_seq = j->nsegments > 0 ? 0 : j->noted_seq != 0 ? j->noted_seq : 1;
  return add_segment(j, j->name, j->fd, first_seq);
}

observer_err obs_journal_open(const obs_journal_opts *opts, obs_journal **out, char *error_text, size_t error_size) {
  *out = NULL;
  obs_journal *j = calloc(1, sizeof(*j));
  if (j == NULL || pthread_mutex_init(&j->lock, NULL) != 0) {
    free(j);
    (void)snprintf(error_text, error_size, "open %s: %s", opts->dir, observer_strerror(OBSERVER_E_NOMEM));
    return OBSERVER_E_NOMEM;
  }
  j->opts = *opts;
  if (j->opts.block_bytes == 0) j->opts.block_bytes = DEFAULT_BLOCK;
  if (j->opts.rejected_bytes == 0) j->opts.rejected_bytes = DEFAULT_REJECTED;
  j->dir_fd = j->lock_fd = j->fd = j->group_fd = j->times.fd = j->keys.fd = -1;
  j->boot = obs_clock_mono_ns() ^ (uint64_t)getpid() << 32;
  j->rejected = OBS_JSONL_LOG_CLOSED;
  j->datasync = fdatasync;
  j->truncate = ftruncate;
  j->tell_bytes = TELL_BYTES;
  j->tell_ms = TELL_MS;
  observer_err err = set_names(j);
  if (err == OBSERVER_E_OK) err = obs_journal_open_dir(j);
  if (err == OBSERVER_E_OK && !j->opts.beside) err = obs_journal_check_format(j);
  /* Receipt goes on from what the last run received last. */
  if (err == OBSERVER_E_OK && !j->opts.beside)
    obs_clock_receipt_begin(obs_times_newest_in(j->dir, j->name, j->stem_len));
  if (err == OBSERVER_E_OK && !j->opts.beside) err = list_rotated(j); /* a journal beside another is not rotated */
  if (err == OBSERVER_E_OK) err = open_active(j);
  if (err == OBSERVER_E_OK && !j->opts.beside) err = obs_journal_group_settle(j);
  if (err != OBSERVER_E_OK) {
    (void)snprintf(error_text, error_size, "%s", j->error);
    obs_journal_close(j);
    return err;
  }
  *out = j;
  return OBSERVER_E_OK;
}

void obs_journal_set_redact(obs_journal *j, obs_redact *redact) {
  j->redact = redact;
}

void obs_journal_close(obs_journal *j) {
  if (j == NULL) return;
  if (j->dirty) obs_journal_cut(j);
  if (j->dirty) obs_log_error("journal", "truncate %s/%s: %s", j->dir, j->name, strerror(errno));
  if (j->pending && obs_journal_flush(j) != OBSERVER_E_OK) obs_log_error("journal", "%s", j->error);
  obs_journal_flush_times(j);
  obs_times_close(&j->times);
  obs_journal_close_keys(j);
  obs_buf_fini(&j->keys.waiting);
  obs_journal_group_leave(j);
  obs_jsonl_log_close(&j->rejected);
  for (size_t i = 0; i < j->nsegments; i++) obs_index_fini(&j->segments[i].index);
  free(j->segments);
  const int fds[] = {j->fd, j->group_fd, j->lock_fd, j->dir_fd};
  for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
    if (fds[i] >= 0) (void)close(fds[i]); /* what was written has been synced above */
  }
  free(j->dir);
  free(j->name);
  (void)pthread_mutex_destroy(&j->lock);
  free(j);
}
