/* Groups for several journals of one directory: all of a group is in all files after a crash, or nothing of it.
 *
 * The rows for the journals beside are written first, then those for the main one. Before any of them, a note in the
 * file `group` says where the files end and which bytes will come to the main one. What a start finds then:
 *
 *   no note, or one without its checksum      nothing of the group was written, or all of it
 *   a note, and the main file has its bytes   all of the group was written
 *   a note, and the main file lacks them      every file is cut back to where the note says it ended
 *
 * The note is wiped when the group stands or was taken back, and before anything else is appended to one of the files:
 * so a note that a start finds is always that of the last thing written (but for a power cut, which may bring an older
 * one back: then later rows or a rotation show that it is over).
 *
 * The note, version 1, little-endian: "OBSGRP1\n"; u64 first seq of the main journal's active segment; u64 begin and
 * end of the group's bytes in it; u64 XXH64 of them; u64 number of files beside; for each u64 where it ended, u64
 * length of its name, the name; XXH64 of everything before it. A later version gets another magic and this file then
 * reads both.
 */
#define XXH_STATIC_LINKING_ONLY /* its state on the stack */
#include "base/log.h"
#include "journal/internal.h"
#include "jsonl/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

static const char magic[] = OBS_JOURNAL_GROUP_MAGIC;
enum { MAGIC = sizeof(magic) - 1, NOTE_MAX = 4096, CHUNK = 64 << 10 };

typedef struct {
  uint64_t end;
  obs_journal_file_name name;
} note_file;

typedef struct {
  uint64_t segment, begin, end, hash, nfiles;
  note_file files[OBS_JOURNAL_GROUP_FILES];
} note;

/* ---- writing ---- */

static observer_err write_note(obs_journal *j, const obs_journal_group *g, size_t len) {
  XXH64_state_t state;
  XXH64_reset(&state, 0);
  for (uint32_t i = 0; i < g->niov; i++) XXH64_update(&state, g->iov[i].iov_base, g->iov[i].iov_len);
  const obs_index *x = &obs_journal_active(j)->index;
  const uint64_t numbers[] = {x->first_seq, x->indexed, x->indexed + len, XXH64_digest(&state), j->group_n};
  obs_buf out = {0};
  obs_buf_append(&out, magic, MAGIC);
  for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) obs_index_put_u64(&out, numbers[i]);
  for (uint32_t i = 0; i < j->group_n; i++) {
    obs_index_put_u64(&out, j->group[i]->mark.end);
    obs_index_put_u64(&out, strlen(j->group[i]->name));
    obs_buf_puts(&out, j->group[i]->name);
  }
  obs_index_put_checksum(&out);
  observer_err err = out.oom ? obs_journal_fail_nomem(j, "group") : OBSERVER_E_OK;
  bool sync = j->opts.fsync == OBS_FSYNC_ALWAYS;
  if (err == OBSERVER_E_OK && j->group_fd < 0) {
    j->group_fd = openat(j->dir_fd, OBS_JOURNAL_GROUP, O_RDWR | O_CREAT | O_CLOEXEC, OBS_FILE_MODE);
    if (j->group_fd < 0 || (sync && fsync(j->dir_fd) != 0)) {
      err = obs_journal_fail(j, "open", OBS_JOURNAL_GROUP);
      if (j->group_fd >= 0) (void)close(j->group_fd); /* the next group makes its name durable */
      j->group_fd = -1;
    }
  }
  struct iovec iov = {out.p, out.len};
  if (err == OBSERVER_E_OK && (!obs_file_write_at(j->group_fd, &iov, 1, 0) || (sync && fdatasync(j->group_fd) != 0)))
    err = obs_journal_fail(j, "write", OBS_JOURNAL_GROUP);
  obs_buf_fini(&out);
  j->group_end = x->indexed + len;
  return err;
}

static bool wipe(int fd) {
  char blank[MAGIC] = {0};
  struct iovec iov = {blank, sizeof(blank)};
  return fd < 0 || obs_file_write_at(fd, &iov, 1, 0);
}

observer_err obs_journal_group_begin(const obs_journal_group *g, obs_journal *beside) {
  obs_journal *j = g->journal;
  size_t len = 0;
  for (uint32_t i = 0; i < g->niov; i++) len += g->iov[i].iov_len;
  /* Rotates now if the group needs it, so that the note knows the file that the group goes to. */
  observer_err err = obs_journal_make_ready(j, len);
  if (err == OBSERVER_E_OK) err = obs_journal_make_ready(beside, 0);
  if (err == OBSERVER_E_OK && j->group_n == OBS_JOURNAL_GROUP_FILES) {
    errno = EMFILE;
    err = obs_journal_fail(j, "write", OBS_JOURNAL_GROUP);
  }
  if (err != OBSERVER_E_OK) return err;
  beside->group_of = j;
  j->group[j->group_n++] = beside;
  j->group_open++;
  err = write_note(j, g, len);
  if (err != OBSERVER_E_OK) obs_journal_group_over(beside);
  return err;
}

void obs_journal_group_over(obs_journal *beside) {
  obs_journal *j = beside->group_of;
  if (j == NULL || j->group_open == 0) return;
  j->group_open--;
  (void)obs_journal_group_wipe(j); /* tried again before the next append */
}

observer_err obs_journal_group_wipe(obs_journal *any) {
  obs_journal *j = any->group_of != NULL ? any->group_of : any;
  if (j->group_n == 0 || j->group_open > 0) return OBSERVER_E_OK;
  /* Until the rows that were taken back are off the files, the note must stand; the main file goes first, as the note
   * is judged by it. */
  for (uint32_t i = 0; i <= j->group_n; i++) {
    obs_journal *member = i == 0 ? j : j->group[i - 1];
    if (member->dirty) obs_journal_cut(member);
    if (member->dirty) return obs_journal_fail(any, "truncate", member->name);
  }
  /* The note of a group that stands may come back after a power cut: its bytes are there, so it is known to be over.
   * One that was taken back must not: rows that are acknowledged later would stand in the place of its bytes. */
  bool stands = obs_journal_active(j)->index.indexed >= j->group_end;
  bool sync = !stands && j->opts.fsync == OBS_FSYNC_ALWAYS && j->group_fd >= 0;
  if (!wipe(j->group_fd) || (sync && j->datasync(j->group_fd) != 0))
    return obs_journal_fail(any, "write", OBS_JOURNAL_GROUP);
  while (j->group_n > 0) j->group[--j->group_n]->group_of = NULL;
  return OBSERVER_E_OK;
}

void obs_journal_group_leave(obs_journal *any) {
  obs_journal *j = any->group_of != NULL ? any->group_of : any;
  j->group_open = 0;
  (void)obs_journal_group_wipe(any);
  while (j->group_n > 0) j->group[--j->group_n]->group_of = NULL; /* then the next start looks at the note */
}

/* ---- start ---- */

/* False: there is no note that is whole. */
static bool parse(const char *p, size_t size, note *out) {
  const char *start = p;
  uint64_t *const numbers[] = {&out->segment, &out->begin, &out->end, &out->hash, &out->nfiles};
  size_t left = size;
  if (size < MAGIC || memcmp(p, magic, MAGIC) != 0) return false;
  p += MAGIC;
  left -= MAGIC;
  for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
    if (!obs_index_take_u64(&p, &left, numbers[i])) return false;
  }
  if (out->nfiles > OBS_JOURNAL_GROUP_FILES) return false;
  for (uint64_t i = 0; i < out->nfiles; i++) {
    note_file *f = &out->files[i];
    uint64_t len;
    if (!obs_index_take_u64(&p, &left, &f->end) || !obs_index_take_u64(&p, &left, &len)) return false;
    if (len >= sizeof(f->name) || len > left || memchr(p, '/', len) != NULL) return false;
    memcpy(f->name, p, len);
    f->name[len] = '\0';
    p += len;
    left -= len;
  }
  return left >= 8 && obs_index_checksum_ok(start, (size_t)(p - start) + 8);
}

/* Whether the active segment's file has the group's bytes. */
static observer_err has_bytes(obs_journal *j, const note *n, char *chunk, bool *has) {
  XXH64_state_t state;
  XXH64_reset(&state, 0);
  for (uint64_t at = n->begin; at < n->end;) {
    size_t want = n->end - at < CHUNK ? (size_t)(n->end - at) : CHUNK;
    ssize_t got = obs_file_read_at(j->fd, chunk, want, at);
    if (got < 0) return obs_journal_fail(j, "read", j->name);
    if (got == 0) break;
    XXH64_update(&state, chunk, (size_t)got);
    at += (size_t)got;
  }
  *has = XXH64_digest(&state) == n->hash;
  return OBSERVER_E_OK;
}

/* Cuts a file that is longer than `size`. */
static observer_err cut_back(obs_journal *j, int fd, const char *name, uint64_t size) {
  off_t end = lseek(fd, 0, SEEK_END);
  if (end < 0) return obs_journal_fail(j, "seek", name);
  if ((uint64_t)end <= size) return OBSERVER_E_OK;
  if (ftruncate(fd, (off_t)size) != 0 || fdatasync(fd) != 0) return obs_journal_fail(j, "truncate", name);
  obs_log_warn("journal", "%s/%s: %" PRIu64 " bytes cut off, of a group that was not completely written", j->dir, name,
               (uint64_t)end - size);
  return OBSERVER_E_OK;
}

/* May be interrupted: the note says the same until it is wiped. */
static observer_err take_back(obs_journal *j, const note *n) {
  observer_err err = cut_back(j, j->fd, j->name, n->begin);
  obs_journal_segment *active = obs_journal_active(j);
  if (active->size > n->begin) active->size = n->begin;
  for (uint64_t i = 0; err == OBSERVER_E_OK && i < n->nfiles; i++) {
    const note_file *f = &n->files[i];
    int fd = openat(j->dir_fd, f->name, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) continue;
    if (fd < 0) return obs_journal_fail(j, "open", f->name);
    err = cut_back(j, fd, f->name, f->end);
    if (close(fd) != 0 && err == OBSERVER_E_OK) err = obs_journal_fail(j, "close", f->name);
  }
  return err;
}

observer_err obs_journal_group_settle(obs_journal *j) {
  note n = {0};
  bool has = true;
  j->group_fd = openat(j->dir_fd, OBS_JOURNAL_GROUP, O_RDWR | O_CLOEXEC);
  if (j->group_fd < 0) return errno == ENOENT ? OBSERVER_E_OK : obs_journal_fail(j, "open", OBS_JOURNAL_GROUP);
  char *chunk = malloc(CHUNK);
  if (chunk == NULL) return obs_journal_fail_nomem(j, "open");
  ssize_t got = obs_file_read_at(j->group_fd, chunk, NOTE_MAX, 0);
  observer_err err = got < 0 ? obs_journal_fail(j, "read", OBS_JOURNAL_GROUP) : OBSERVER_E_OK;
  if (err == OBSERVER_E_OK && parse(chunk, (size_t)got, &n)) {
    /* Another segment is active, or later rows are there: the group is long over. */
    const obs_journal_segment *active = obs_journal_active(j);
    bool rotated = active->index.first_seq != 0 && active->index.first_seq != n.segment;
    for (size_t i = 0; i + 1 < j->nsegments; i++) rotated = rotated || j->segments[i].index.first_seq >= n.segment;
    if (!rotated && active->size <= n.end) err = has_bytes(j, &n, chunk, &has);
    if (err == OBSERVER_E_OK && !has) err = take_back(j, &n);
    if (err == OBSERVER_E_OK && !wipe(j->group_fd)) err = obs_journal_fail(j, "write", OBS_JOURNAL_GROUP);
  }
  free(chunk);
  return err;
}
