/* Writing: append, sync, rotation, retention.
 *
 * The active segment's index always tells where the good bytes end, so every write goes to that offset and every
 * failure is undone by cutting the file there. Readers see only what was published: after the sync in ALWAYS mode,
 * after the append in the other modes, after obs_journal_keep in a journal beside another. */
#include "base/clock.h"
#include "base/log.h"
#include "journal/internal.h"
#include "jsonl/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

const obs_histogram_scale obs_journal_sync_scale = {
    12, {100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000}};

void obs_journal_publish(obs_journal *j) {
  const obs_index *x = &obs_journal_active(j)->index;
  j->mark = (obs_journal_mark){.end = x->indexed, .rows = x->rows, .nblocks = x->blocks.n};
  if (x->blocks.n > 0) j->mark.last = x->blocks.at[x->blocks.n - 1];
  pthread_mutex_lock(&j->lock);
  j->committed = x->indexed;
  j->committed_seq = obs_index_next_seq(x);
  pthread_mutex_unlock(&j->lock);
}

void obs_journal_cut(obs_journal *j) {
  /* Where the rows end in a file that somebody else changed is not known. */
  j->dirty = j->place != OBS_JOURNAL_CHANGED && j->truncate(j->fd, (off_t)obs_journal_active(j)->index.indexed) != 0;
}

void obs_journal_keep(obs_journal *j) {
  obs_journal_publish(j);
  obs_journal_group_over(j);
}

/* Writes what is in the file from the mark on once more. The descriptor appends, whatever the offset, unless told not
 * to for that long. */
static bool write_again(obs_journal *j) {
  char chunk[16 << 10];
  uint64_t end = obs_journal_active(j)->index.indexed;
  int flags = fcntl(j->fd, F_GETFL);
  bool ok = flags != -1 && fcntl(j->fd, F_SETFL, flags & ~O_APPEND) == 0;
  for (uint64_t at = j->mark.end; ok && at < end;) {
    size_t want = end - at < sizeof(chunk) ? (size_t)(end - at) : sizeof(chunk);
    ssize_t got = obs_file_read_at(j->fd, chunk, want, at);
    if (got == 0) errno = EIO;
    struct iovec iov = {chunk, got > 0 ? (size_t)got : 0};
    ok = got > 0 && obs_file_write_at(j->fd, &iov, 1, at);
    at += got > 0 ? (uint64_t)got : 0;
  }
  int saved = errno;
  if (flags != -1 && fcntl(j->fd, F_SETFL, flags) != 0 && ok) return false;
  errno = saved;
  return ok;
}

static bool sync_file(obs_journal *j) {
  bool ok = (!j->unsure || write_again(j)) && j->datasync(j->fd) == 0;
  j->unsure = !ok;
  return ok;
}

static bool sync_dir(obs_journal *j) {
  obs_journal_file_name fresh;
  int fd = j->dir_unsure ? obs_journal_open_fresh(j, fresh) : -1; /* changes the directory once more */
  bool ok = !j->dir_unsure || (fd >= 0 && close(fd) == 0 && unlinkat(j->dir_fd, fresh, 0) == 0);
  ok = ok && fsync(j->dir_fd) == 0;
  j->dir_unsure = !ok;
  return ok;
}

observer_err obs_journal_flush(obs_journal *j) {
  /* Rows in a file whose name can still be lost are not durable. */
  if (j->dir_dirty && !sync_dir(j)) return obs_journal_fail(j, "sync", "");
  j->dir_dirty = false;
  uint64_t begun_ns = obs_clock_mono_ns();
  if (!sync_file(j)) return obs_journal_fail(j, "sync", j->name);
  uint64_t took_us = (obs_clock_mono_ns() - begun_ns) / 1000;
  observer_err err = obs_journal_check(j);
  if (err != OBSERVER_E_OK) return err;
  j->pending = false;
  if (!j->opts.beside) obs_journal_publish(j);
  pthread_mutex_lock(&j->lock);
  j->counts.syncs++;
  obs_histogram_add(&j->counts.sync_us, &obs_journal_sync_scale, took_us);
  pthread_mutex_unlock(&j->lock);
  return OBSERVER_E_OK;
}

void obs_journal_take_back(obs_journal *j) {
  obs_index *x = &obs_journal_active(j)->index;
  pthread_mutex_lock(&j->lock);
  x->indexed = j->mark.end;
  x->rows = j->mark.rows;
  x->blocks.n = j->mark.nblocks;
  if (x->blocks.n > 0) x->blocks.at[x->blocks.n - 1] = j->mark.last;
  pthread_mutex_unlock(&j->lock);
  atomic_store_explicit(&j->next_seq, obs_index_next_seq(x), memory_order_release);
  j->pending = j->unsure = false; /* what was not synced is cut off, not synced later */
  /* While the main file of a group has its rows, because it could not be cut, the others keep theirs. */
  if (j->group_of != NULL && j->group_of->dirty)
    j->dirty = true;
  else
    obs_journal_cut(j);
  if (j->opts.beside) obs_journal_group_over(j);
}

int obs_journal_open_fresh(obs_journal *j, obs_journal_file_name name) {
  (void)snprintf(name, sizeof(obs_journal_file_name), "%s.new", j->name);
  return openat(j->dir_fd, name, O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, OBS_FILE_MODE);
}

/* Puts an empty file in the active one's place. The new file exists before the old one moves, so a full disk cannot
 * leave the directory without an active segment; a crash between the two renames can, and open makes one. */
static bool swap_files(obs_journal *j, const char *rotated, int *fd) {
  obs_journal_file_name fresh;
  if (faccessat(j->dir_fd, rotated, F_OK, 0) == 0) {
    errno = EEXIST;
    return false;
  }
  *fd = obs_journal_open_fresh(j, fresh);
  if (*fd < 0) return false;
  bool moved = renameat(j->dir_fd, j->name, j->dir_fd, rotated) == 0;
  if (moved && renameat(j->dir_fd, fresh, j->dir_fd, j->name) == 0) return true;
  int saved = errno;
  if (moved && renameat(j->dir_fd, rotated, j->dir_fd, j->name) != 0) saved = errno;
  (void)unlinkat(j->dir_fd, fresh, 0);
  (void)close(*fd);
  errno = saved;
  return false;
}

bool obs_journal_reserve_segment(obs_journal *j) {
  pthread_mutex_lock(&j->lock);
  obs_journal_segment *more = reallocarray(j->segments, j->nsegments + 1, sizeof(*more));
  if (more != NULL) j->segments = more;
  pthread_mutex_unlock(&j->lock);
  return more != NULL;
}

void obs_journal_activate(obs_journal *j, int fd, bool keep) {
  int old_fd = j->fd;
  /* In one step for readers. */
  pthread_mutex_lock(&j->lock);
  obs_journal_segment *old = obs_journal_active(j);
  uint64_t next_seq = obs_index_next_seq(&old->index);
  int64_t old_newest_ms = old->newest_ms; /* the next row is not received before it */
  old->size = old->index.indexed;
  old->mtime_ms = obs_clock_receipt_ms();
  if (!keep) {
    obs_index_fini(&old->index);
    j->nsegments--;
  }
  obs_index_init(&j->segments[j->nsegments].index, next_seq);
  j->segments[j->nsegments].newest_ms = old_newest_ms;
  j->segments[j->nsegments++].size = 0;
  j->fd = fd;
  j->committed = 0;
  pthread_mutex_unlock(&j->lock);
  obs_journal_publish(j);
  j->pending = j->unsure = j->rotation_failed = false;
  j->dir_dirty = true;
  if (close(old_fd) != 0) obs_log_warn("journal", "close %s: %s", j->name, strerror(errno));
}

/* A rotation that fails is no reason not to record: the segment grows and the next append tries again. */
observer_err obs_journal_rotate(obs_journal *j) {
  if (j->pending && j->opts.fsync != OBS_FSYNC_NEVER) {
    observer_err err = obs_journal_flush(j);
    if (err != OBSERVER_E_OK) return err;
  }
  if (!obs_journal_reserve_segment(j)) return obs_journal_fail_nomem(j, "rotate");
  obs_journal_file_name name;
  obs_journal_rotated_name(j, obs_journal_active(j)->index.first_seq, name);
  int fd;
  if (!swap_files(j, name, &fd)) {
    if (!j->rotation_failed) {
      obs_log_warn("journal", "cannot rotate %s/%s to %s: %s; recording continues in the same file", j->dir, j->name,
                   name, strerror(errno));
    }
    j->rotation_failed = true;
    return OBSERVER_E_OK;
  }
  obs_journal_activate(j, fd, true);
  obs_journal_save_sidecar(j, j->nsegments - 2);
  return OBSERVER_E_OK;
}

observer_err obs_journal_make_ready(obs_journal *j, size_t len) {
  if (j->dirty) obs_journal_cut(j);
  if (j->dirty) return obs_journal_fail(j, "truncate", j->name);
  observer_err err = obs_journal_group_wipe(j);
  if (err == OBSERVER_E_OK && j->place != OBS_JOURNAL_IN_PLACE) err = obs_journal_replace(j);
  if (err != OBSERVER_E_OK) return err;
  /* Never a segment without rows: the next one would have the same first seq, and so the same name. Nor one that a note
   * says a group goes to. */
  const obs_index *x = &obs_journal_active(j)->index;
  bool full = j->opts.segment_bytes > 0 && x->indexed + len > j->opts.segment_bytes;
  if (full && x->rows > 0 && j->group_open == 0) err = obs_journal_rotate(j);
  if (err != OBSERVER_E_OK) return err;
  pthread_mutex_lock(&j->lock);
  bool room = obs_index_reserve(&obs_journal_active(j)->index);
  pthread_mutex_unlock(&j->lock);
  return room ? OBSERVER_E_OK : obs_journal_fail_nomem(j, "write");
}

observer_err obs_journal_append(obs_journal *j, struct iovec *iov, uint32_t niov, uint64_t rows, int64_t min_ms,
                                int64_t max_ms) {
  assert(j->replayed);
  size_t len = 0;
  for (uint32_t i = 0; i < niov; i++) len += iov[i].iov_len;
  if (len == 0) return OBSERVER_E_OK;
  observer_err err = obs_journal_make_ready(j, len);
  if (err != OBSERVER_E_OK) return err;
  obs_index *x = &obs_journal_active(j)->index;
  if (!obs_file_write_at(j->fd, iov, niov, x->indexed)) err = obs_journal_fail(j, "write", j->name);
  /* In the other modes it is acknowledged before the sync that would look. */
  if (err == OBSERVER_E_OK && j->opts.fsync != OBS_FSYNC_ALWAYS) err = obs_journal_look(j, x->indexed + len);
  if (err != OBSERVER_E_OK) {
    obs_journal_cut(j);
    if (j->opts.beside) obs_journal_group_over(j);
    return err;
  }
  j->appended_seq = obs_index_next_seq(x);
  j->appended_at = x->indexed;
  pthread_mutex_lock(&j->lock);
  bool extended = obs_index_extend(x, j->opts.block_bytes, x->indexed + len, rows, min_ms, max_ms);
  assert(extended); /* obs_journal_make_ready made room */
  (void)extended;
  j->counts.appends++;
  if (j->opts.fsync != OBS_FSYNC_ALWAYS && !j->opts.beside) {
    j->committed = x->indexed;
    j->committed_seq = obs_index_next_seq(x);
  }
  pthread_mutex_unlock(&j->lock);
  atomic_store_explicit(&j->next_seq, obs_index_next_seq(x), memory_order_release);
  if (!j->pending) j->pending_since_ms = obs_clock_mono_ms();
  j->pending = true;
  return OBSERVER_E_OK;
}

/* ---- times ---- */

static void times_failed(obs_journal *j) {
  obs_journal_file_name name;
  obs_journal_times_name(j, j->times.first_seq, name);
  obs_log_warn("journal", "cannot write %s/%s: %s; after a restart these rows count as received at their timestamps",
               j->dir, name, strerror(errno));
  obs_times_close(&j->times); /* until the next segment */
}

void obs_journal_flush_times(obs_journal *j) {
  if (j->times.n > 0 && j->times.fd >= 0 && !obs_times_flush(&j->times)) times_failed(j);
  if (j->noted_to_seq > 0) atomic_store(&j->timed_seq, j->noted_to_seq);
}

/* At most one write a millisecond, however small the groups are. */
void obs_journal_note_times(obs_journal *j, uint64_t seq, uint64_t n, int64_t received_ms, int64_t skew_ms) {
  const obs_index *x = &obs_journal_active(j)->index;
  if (j->times.receipt.value != received_ms || j->times.first_seq != x->first_seq) obs_journal_flush_times(j);
  if (j->times.first_seq != x->first_seq) {
    obs_journal_file_name name;
    obs_journal_times_name(j, x->first_seq, name);
    obs_times_close(&j->times);
    if (!obs_times_create(&j->times, j->dir_fd, name, j->fd, x->first_seq, seq, j->boot)) times_failed(j);
  }
  if (j->times.fd >= 0 && !obs_times_note(&j->times, seq, n, received_ms, skew_ms)) times_failed(j);
  j->noted_to_seq = seq + n;
  pthread_mutex_lock(&j->lock);
  obs_journal_active(j)->newest_ms = received_ms;
  pthread_mutex_unlock(&j->lock);
}

/* ---- keys ---- */

static void keys_failed(obs_journal *j) {
  obs_journal_file_name name;
  obs_journal_keys_name(j, j->keys.first_seq, name);
  if (!j->keys_failed)
    obs_log_warn("journal", "cannot write %s/%s: %s; who looks for these rows reads them all once", j->dir, name,
                 strerror(errno));
  j->keys_failed = true;
  if (j->keys.fd >= 0) (void)close(j->keys.fd); /* never synced: a failure tells nothing */
  j->keys.fd = -1;                              /* until the next segment */
}

/* The records that wait go to the file, or nowhere. Who reads them takes those that wait first, so that it misses none.
 */
static void write_keys(obs_journal *j) {
  obs_row_keys_writer *w = &j->keys;
  struct iovec iov = {w->waiting.p, w->waiting.len};
  if (w->fd >= 0 && w->waiting.len > 0 && !obs_file_write_at(w->fd, &iov, 1, 0)) keys_failed(j); /* it appends */
  pthread_mutex_lock(&j->lock);
  obs_buf_reset(&w->waiting, 4 * OBS_ROW_KEYS_WRITE);
  pthread_mutex_unlock(&j->lock);
}

static void seal_keys(obs_journal *j) {
  obs_row_keys_writer *w = &j->keys;
  if (w->part.rows == 0) return;
  pthread_mutex_lock(&j->lock);
  obs_row_keys_seal(&w->part, &w->waiting);
  if (w->waiting.oom) obs_buf_fini(&w->waiting);
  w->waiting.oom = false;
  j->keys_from_seq = w->part.first_seq;
  pthread_mutex_unlock(&j->lock);
  if (w->waiting.len >= OBS_ROW_KEYS_WRITE) write_keys(j);
}

void obs_journal_close_keys(obs_journal *j) {
  seal_keys(j);
  write_keys(j);
  if (j->keys.fd >= 0) (void)close(j->keys.fd);
  j->keys.fd = -1;
}

/* `next_seq`: the first row that is not to be known by the file's records. */
static void resume_keys(obs_journal *j, uint64_t next_seq) {
  obs_journal_file_name name;
  uint64_t first_seq = obs_journal_active(j)->index.first_seq;
  obs_journal_close_keys(j);
  obs_journal_keys_name(j, first_seq, name);
  /* Before the file is there: nobody else makes it from here on. */
  pthread_mutex_lock(&j->lock);
  j->keys.first_seq = first_seq;
  j->keys_from_seq = next_seq;
  pthread_mutex_unlock(&j->lock);
  j->keys_failed = false;
  if (!obs_row_keys_resume(&j->keys, j->dir_fd, name, j->fd, first_seq, next_seq)) keys_failed(j);
}

void obs_journal_open_keys(obs_journal *j) {
  if (obs_journal_active(j)->index.rows > 0) resume_keys(j, obs_index_next_seq(&obs_journal_active(j)->index));
}

void obs_journal_note_keys(obs_journal *j, uint64_t seq, uint32_t len, const uint64_t *keys, uint32_t n) {
  obs_row_keys_writer *w = &j->keys;
  if (w->first_seq != obs_journal_active(j)->index.first_seq) resume_keys(j, seq);
  if (seq == j->appended_seq) {
    if (seq != w->next_seq || w->next_offset != j->appended_at) seal_keys(j); /* rows between have no keys */
    w->next_offset = j->appended_at;
  } else if (seq != w->next_seq) {
    return; /* where it stands is not known */
  }
  if (w->part.rows == 0) obs_row_keys_begin(&w->part, seq, w->next_offset);
  w->next_seq = seq + 1;
  w->next_offset += len;
  obs_row_keys_add(&w->part, w->next_offset, keys, n < OBS_ROW_KEYS_EACH ? n : OBS_ROW_KEYS_EACH);
  if (obs_row_keys_is_full(&w->part)) seal_keys(j);
}

/* Writes blank lines: should the cut fail, replay skips them and the next append cuts again. */
observer_err obs_journal_probe(obs_journal *j, uint64_t bytes) {
  enum { AT_ONCE = 64 };
  char blank[4096];
  memset(blank, '\n', sizeof(blank));
  (void)obs_journal_check(j); /* of one that was lost, and nobody has noticed yet */
  observer_err err = obs_journal_make_ready(j, 0);
  if (err != OBSERVER_E_OK) return err;
  uint64_t begin = obs_journal_active(j)->index.indexed, end = begin;
  bool written = true;
  do {
    struct iovec iov[AT_ONCE];
    uint32_t n = 0;
    uint64_t part = 0;
    for (; n < AT_ONCE && (n == 0 || end - begin + part < bytes); n++, part += sizeof(blank))
      iov[n] = (struct iovec){blank, sizeof(blank)};
    written = obs_file_write_at(j->fd, iov, n, end);
    end += part;
  } while (written && end - begin < bytes);
  written = written && j->datasync(j->fd) == 0;
  err = written ? obs_journal_look(j, end) : obs_journal_fail(j, "write", j->name);
  obs_journal_cut(j);
  return err != OBSERVER_E_OK ? err : j->dirty ? obs_journal_fail(j, "truncate", j->name) : OBSERVER_E_OK;
}

uint32_t obs_journal_sync_due(const obs_journal *j) {
  if (j->opts.fsync != OBS_FSYNC_INTERVAL || !j->pending) return UINT32_MAX;
  uint64_t waited = obs_clock_mono_ms() - j->pending_since_ms;
  return waited >= j->opts.fsync_ms ? 0 : (uint32_t)(j->opts.fsync_ms - waited);
}

observer_err obs_journal_sync(obs_journal *j) {
  if (!j->pending || j->opts.fsync == OBS_FSYNC_NEVER) return OBSERVER_E_OK;
  if (j->opts.fsync == OBS_FSYNC_INTERVAL && obs_journal_sync_due(j) > 0) return OBSERVER_E_OK;
  observer_err err = obs_journal_flush(j);
  if (err == OBSERVER_E_OK) return err;
  if (j->opts.fsync == OBS_FSYNC_ALWAYS) {
    obs_journal_take_back(j);
  } else {
    j->pending_since_ms = obs_clock_mono_ms();
  }
  return err;
}

/* ---- retention: the oldest segments go, the active one always stays ---- */

static int64_t newest_of(const obs_journal_segment *s) {
  return s->newest_ms != INT64_MIN ? s->newest_ms : s->index.max_ms; /* nobody noted it */
}

static bool is_held(const obs_journal *j, int64_t now_ms) {
  const obs_journal_segment *s = &j->segments[0];
  uint64_t seq = atomic_load(&j->held_seq);
  if (seq == 0) return false;
  return obs_index_next_seq(&s->index) > seq || newest_of(s) > now_ms - (int64_t)atomic_load(&j->held_ms);
}

static bool oldest_must_go(const obs_journal *j, int64_t now_ms) {
  if (j->nsegments < 2 || is_held(j, now_ms)) return false;
  const obs_journal_opts *o = &j->opts;
  if (o->retain_segments > 0 && j->nsegments - 1 > o->retain_segments) return true;
  uint64_t rotated = 0;
  for (size_t i = 0; i + 1 < j->nsegments; i++) rotated += j->segments[i].size;
  if (o->retain_bytes > 0 && rotated > o->retain_bytes) return true;
  if (o->retain_seconds == 0 || o->retain_seconds > INT64_MAX / 1000) return false;
  return newest_of(&j->segments[0]) < now_ms - (int64_t)o->retain_seconds * 1000;
}

void obs_journal_delete_file(const obs_journal *j, const char *name) {
  if (unlinkat(j->dir_fd, name, 0) == 0 || errno == ENOENT) return;
  obs_log_warn("journal", "cannot delete %s/%s: %s", j->dir, name, strerror(errno));
}

static void look_at_room(obs_journal *j) {
  struct statvfs fs;
  if (fstatvfs(j->dir_fd, &fs) != 0) return;
  pthread_mutex_lock(&j->lock);
  j->counts.free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
  pthread_mutex_unlock(&j->lock);
}

void obs_journal_maintain(obs_journal *j, int64_t now_ms) {
  look_at_room(j);
  while (j->replayed && oldest_must_go(j, now_ms)) {
    obs_journal_file_name segment, sidecar, times, keys;
    if (j->nsegments == 2) {
      /* The name of the last rotated segment is the only place that gives the active one's first seq: before it goes,
       * the seq is written to the active one's sidecar. */
      obs_index x;
      obs_index_init(&x, obs_journal_active(j)->index.first_seq);
      obs_journal_active_sidecar_name(j, sidecar);
      if (!obs_index_write_sidecar(&x, j->dir_fd, sidecar, true)) {
        obs_log_warn("journal", "cannot write %s/%s: %s; no segment is deleted", j->dir, sidecar, strerror(errno));
        break;
      }
    }
    obs_journal_segment_name(j, 0, segment);
    obs_journal_sidecar_name(j, j->segments[0].index.first_seq, sidecar);
    obs_journal_times_name(j, j->segments[0].index.first_seq, times);
    obs_journal_keys_name(j, j->segments[0].index.first_seq, keys);
    /* Removed from the list first: new readers skip it, and one in the middle of it has its own descriptor. */
    pthread_mutex_lock(&j->lock);
    obs_index_fini(&j->segments[0].index);
    j->nsegments--;
    memmove(j->segments, j->segments + 1, j->nsegments * sizeof(*j->segments));
    pthread_mutex_unlock(&j->lock);
    const char *const names[] = {segment, sidecar, times, keys};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) obs_journal_delete_file(j, names[i]);
    obs_log_info("journal", "deleted %s/%s: retention", j->dir, segment);
  }
  obs_journal_maintain_rejected(j);
}
