/* What was done to the active segment behind the journal's back: its file or its directory removed, renamed, replaced,
 * cut or written to. Rows in it may not be found by the next start, so nothing is acknowledged that went there: the
 * append or sync that notices fails, and the next one begins a new segment.
 *
 *   gone      whatever stands under the name now is set aside as STEM-found-<seq>-<n>, never overwritten. The rows of a
 *             file that was removed are read through its descriptor and kept as a rotated segment; one that was moved
 *             has them where it is now, and the log says where
 *   changed   the file becomes a rotated segment; the next start reads again what is in it
 *
 * The sidecar of the new segment notes its first seq, so that the seq goes on also after a restart. The checkpoint
 * knows of rows that were taken away while no daemon ran. */
#include "base/log.h"
#include "journal/internal.h"
#include "jsonl/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static observer_err lost(obs_journal *j, obs_journal_place place) {
  static const char *const texts[] = {[OBS_JOURNAL_GONE] =
                                          "it or its directory was removed, renamed or replaced while in use",
                                      [OBS_JOURNAL_CHANGED] = "another program wrote to it or truncated it"};
  j->place = place;
  (void)snprintf(j->error, sizeof(j->error), "%s/%s: %s", j->dir, j->name, texts[place]);
  pthread_mutex_lock(&j->lock);
  j->counts.failures++;
  pthread_mutex_unlock(&j->lock);
  return OBSERVER_E_IO;
}

observer_err obs_journal_look(obs_journal *j, uint64_t end) {
  struct stat st;
  if (j->place != OBS_JOURNAL_IN_PLACE) return lost(j, j->place);
  if (!obs_file_dir_in_place(j->dir, j->dir_fd) || !obs_file_in_place(j->dir_fd, j->name, j->fd)) {
    return lost(j, OBS_JOURNAL_GONE);
  }
  if (fstat(j->fd, &st) != 0) return obs_journal_fail(j, "stat", j->name);
  /* What could not be cut off yet is known to be there. */
  return j->dirty || (uint64_t)st.st_size == end ? OBSERVER_E_OK : lost(j, OBS_JOURNAL_CHANGED);
}

observer_err obs_journal_check(obs_journal *j) {
  return obs_journal_look(j, obs_journal_active(j)->index.indexed);
}

/* Of rotated segments too, the files may be gone. The active one's place is another matter. */
static void forget_missing(obs_journal *j) {
  size_t kept = 0;
  pthread_mutex_lock(&j->lock);
  for (size_t i = 0; i < j->nsegments; i++) {
    obs_journal_file_name name;
    bool active = i + 1 == j->nsegments;
    obs_journal_rotated_name(j, j->segments[i].index.first_seq, name);
    if (active || faccessat(j->dir_fd, name, F_OK, 0) == 0 || errno != ENOENT)
      j->segments[kept++] = j->segments[i];
    else
      obs_index_fini(&j->segments[i].index);
  }
  j->nsegments = kept;
  pthread_mutex_unlock(&j->lock);
}

/* The next start learns from it where the new segment's seqs begin. A journal beside another counts from 1 always. */
static bool note_seq(obs_journal *j) {
  obs_journal_file_name sidecar;
  obs_index x;
  if (j->opts.beside) return true;
  obs_index_init(&x, obs_index_next_seq(&obs_journal_active(j)->index));
  obs_journal_active_sidecar_name(j, sidecar);
  return obs_index_write_sidecar(&x, j->dir_fd, sidecar, true);
}

static bool is_free(const obs_journal *j, const char *name) {
  return faccessat(j->dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0;
}

/* A name for what stood in the active segment's place; no file is overwritten. */
static void found_name(obs_journal *j, obs_journal_file_name name) {
  uint32_t n = 0;
  do {
    (void)snprintf(name, sizeof(obs_journal_file_name), "%.*s-found-%" PRIu64 "-%" PRIu32 "%s", j->stem_len, j->name,
                   obs_index_next_seq(&obs_journal_active(j)->index), n++, j->name + j->stem_len);
  } while (n < UINT32_MAX && !is_free(j, name));
}

/* Copies the rows of the file that is open, whatever has become of its name. False and errno; nothing is left then. */
static bool copy_rows(const obs_journal *j, obs_journal_file_name name, uint64_t end) {
  char chunk[64 << 10];
  int fd = openat(j->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, OBS_FILE_MODE);
  bool ok = fd >= 0;
  for (uint64_t at = 0; ok && at < end;) {
    size_t want = end - at < sizeof(chunk) ? (size_t)(end - at) : sizeof(chunk);
    ssize_t got = obs_file_read_at(j->fd, chunk, want, at);
    if (got == 0) errno = EIO;
    struct iovec iov = {chunk, got > 0 ? (size_t)got : 0};
    ok = got > 0 && obs_file_write_at(fd, &iov, 1, at);
    at += got > 0 ? (uint64_t)got : 0;
  }
  ok = ok && fsync(fd) == 0;
  int saved = errno;
  if (fd >= 0 && close(fd) != 0 && ok) {
    saved = errno;
    ok = false;
  }
  if (!ok && fd >= 0) (void)unlinkat(j->dir_fd, name, 0);
  errno = saved;
  return ok;
}

/* What becomes of the rows of a file that is gone. True: they are in `name`. */
static bool save_rows(obs_journal *j, obs_journal_file_name name) {
  const obs_index *x = &obs_journal_active(j)->index;
  struct stat st;
  if (x->rows == 0 || fstat(j->fd, &st) != 0) return false;
  if (st.st_nlink > 0) {
    char link[64], now_at[PATH_MAX];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", j->fd);
    ssize_t n = readlink(link, now_at, sizeof(now_at) - 1);
    obs_log_error("journal", "%s/%s: rows %" PRIu64 " to %" PRIu64 " are in the file that was moved, which is now %.*s",
                  j->dir, j->name, x->first_seq, obs_index_next_seq(x) - 1, n > 0 ? (int)n : 7,
                  n > 0 ? now_at : "unknown");
    return false;
  }
  if (!copy_rows(j, name, x->indexed)) {
    obs_log_error("journal",
                  "%s/%s: rows %" PRIu64 " to %" PRIu64 " were in the file that was removed, and are lost: %s", j->dir,
                  j->name, x->first_seq, obs_index_next_seq(x) - 1, strerror(errno));
    return false;
  }
  obs_log_warn("journal", "%s/%s: rows %" PRIu64 " to %" PRIu64 " of the file that was removed are saved in %s", j->dir,
               j->name, x->first_seq, obs_index_next_seq(x) - 1, name);
  return true;
}

/* Clears the active segment's name. *keep: the rows that it had are a rotated segment now. */
static bool set_aside(obs_journal *j, bool *keep) {
  obs_journal_file_name name;
  const obs_index *x = &obs_journal_active(j)->index;
  obs_journal_rotated_name(j, x->first_seq, name);
  if (j->place == OBS_JOURNAL_GONE) {
    /* A journal beside another has one segment only: its rows are saved under a name that no start reads. */
    if (j->opts.beside) found_name(j, name);
    *keep = is_free(j, name) && save_rows(j, name) && !j->opts.beside;
    found_name(j, name);
    if (renameat(j->dir_fd, j->name, j->dir_fd, name) != 0) return errno == ENOENT;
    obs_log_warn("journal", "%s/%s: the file found in its place is now %s", j->dir, j->name, name);
    return true;
  }
  /* Without a row of ours it is none: the next one would have the same name. */
  *keep = x->rows > 0 && is_free(j, name);
  if (!*keep) found_name(j, name);
  if (renameat(j->dir_fd, j->name, j->dir_fd, name) != 0) return errno == ENOENT;
  obs_log_warn("journal", "%s/%s: the file that was changed is now %s", j->dir, j->name, name);
  return true;
}

observer_err obs_journal_replace(obs_journal *j) {
  obs_journal_file_name fresh;
  bool keep;
  if (!obs_file_dir_in_place(j->dir, j->dir_fd)) {
    observer_err err = obs_journal_open_dir(j);
    if (err != OBSERVER_E_OK) return err;
    if (!j->opts.beside) obs_journal_mark_format(j);
  }
  if (!obs_journal_reserve_segment(j)) return obs_journal_fail_nomem(j, "open");
  int fd = obs_journal_open_fresh(j, fresh);
  if (fd < 0 || !note_seq(j) || !set_aside(j, &keep) || renameat(j->dir_fd, fresh, j->dir_fd, j->name) != 0) {
    observer_err err = obs_journal_fail(j, "replace", j->name);
    if (fd >= 0) (void)close(fd); /* nothing is in it */
    return err;
  }
  /* Its note may come back after a power cut, and would be held against the new file. */
  if (j->group_fd >= 0) {
    (void)close(j->group_fd);
    (void)unlinkat(j->dir_fd, OBS_JOURNAL_GROUP, 0); /* it may be gone, too */
    j->group_fd = -1;
  }
  obs_journal_activate(j, fd, keep);
  if (keep && j->place == OBS_JOURNAL_GONE) obs_journal_save_sidecar(j, j->nsegments - 2);
  forget_missing(j);
  j->place = OBS_JOURNAL_IN_PLACE;
  j->dirty = false;
  obs_log_warn("journal", "%s/%s: recording continues in a new file at seq %" PRIu64, j->dir, j->name,
               obs_journal_next_seq(j));
  return OBSERVER_E_OK;
}

observer_err obs_journal_skip_lost(obs_journal *j) {
  uint64_t next = obs_journal_next_seq(j), wanted = j->counted_seq + 1;
  if (j->opts.beside || next >= wanted) return OBSERVER_E_OK;
  if (obs_journal_active(j)->index.rows > 0) {
    observer_err err = obs_journal_rotate(j);
    if (err != OBSERVER_E_OK) return err;
  }
  obs_index *x = &obs_journal_active(j)->index;
  if (x->rows > 0) return obs_journal_fail(j, "rotate", j->name);
  pthread_mutex_lock(&j->lock);
  obs_index_fini(x);
  obs_index_init(x, wanted);
  pthread_mutex_unlock(&j->lock);
  if (!note_seq(j)) return obs_journal_fail(j, "write", "the index");
  atomic_store_explicit(&j->next_seq, wanted, memory_order_release);
  obs_journal_publish(j);
  obs_log_error("journal",
                "%s: rows %" PRIu64 " to %" PRIu64
                " were recorded but are missing: recording continues at seq %" PRIu64,
                j->dir, next, wanted - 1, wanted);
  return OBSERVER_E_OK;
}
