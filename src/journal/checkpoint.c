/* The checkpoint: the caller's aggregates up to a seq, and how far the active segment was then, with its index, so that
 * replay begins there.
 *
 * Version 1, little-endian:
 *   "OBSCKP1\n", u64 seq, u64 XXH64 of the last TAIL bytes (or fewer) before index.indexed of the segment, index of the
 *   segment that was active (index.c), u64 length, that many bytes of the caller, XXH64 of everything before it.
 * A later version gets another magic, this file then reads both, and an older daemon refuses to start (format.c). The
 * caller's bytes carry their own version. */
#include "base/log.h"
#include "journal/internal.h"
#include "jsonl/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include <xxhash.h>

static const char magic[] = OBS_JOURNAL_CHECKPOINT_MAGIC;
enum { MAGIC = sizeof(magic) - 1, TAIL = 4096, CHECKPOINT_MAX = 1 << 30 };

/* Hash of what comes before byte `end`. False when the file is shorter, or `end` is not the start of a line. */
static bool tail_hash(int fd, uint64_t end, uint64_t *hash) {
  char tail[TAIL];
  size_t n = end < TAIL ? (size_t)end : TAIL;
  if (obs_file_read_at(fd, tail, n, end - n) != (ssize_t)n) return false;
  *hash = XXH64(tail, n, 0);
  return n == 0 || tail[n - 1] == '\n';
}

observer_err obs_journal_checkpoint_encode(obs_journal *j, uint64_t seq, const void *blob, size_t len, obs_buf *file) {
  /* The checkpoint must not count rows that a power cut can still lose. */
  observer_err err = j->pending ? obs_journal_flush(j) : OBSERVER_E_OK;
  if (err != OBSERVER_E_OK) return err;
  const obs_index *x = &obs_journal_active(j)->index;
  uint64_t hash;
  if (!tail_hash(j->fd, x->indexed, &hash)) return obs_journal_fail(j, "read", j->name);
  obs_buf_append(file, magic, MAGIC);
  obs_index_put_u64(file, seq);
  obs_index_put_u64(file, hash);
  obs_index_encode(x, file);
  obs_index_put_u64(file, len);
  obs_buf_append(file, blob, len);
  obs_index_put_checksum(file);
  return file->oom ? obs_journal_fail_nomem(j, "checkpoint") : OBSERVER_E_OK;
}

observer_err obs_journal_checkpoint_write(obs_journal *j, const obs_buf *file) {
  if (obs_file_replace(j->dir_fd, OBS_JOURNAL_CHECKPOINT, file, true)) return OBSERVER_E_OK;
  observer_err err = obs_file_err(errno);
  pthread_mutex_lock(&j->lock);
  j->counts.failures++;
  pthread_mutex_unlock(&j->lock);
  return err;
}

typedef struct {
  uint64_t seq, hash;
  obs_index index;
  const char *blob;
  uint64_t blob_len;
} parts;

/* The blob stays in the file's bytes. */
static observer_err parse(const obs_buf *file, parts *out) {
  if (file->len < MAGIC + 8 || memcmp(file->p, magic, MAGIC) != 0 || !obs_index_checksum_ok(file->p, file->len))
    return OBSERVER_E_CORRUPT;
  const char *p = file->p + MAGIC;
  size_t left = file->len - MAGIC - 8;
  if (!obs_index_take_u64(&p, &left, &out->seq) || !obs_index_take_u64(&p, &left, &out->hash))
    return OBSERVER_E_CORRUPT;
  observer_err err = obs_index_decode(&out->index, &p, &left);
  if (err != OBSERVER_E_OK) return err;
  if (!obs_index_take_u64(&p, &left, &out->blob_len) || out->blob_len != left) return OBSERVER_E_CORRUPT;
  out->blob = p;
  return OBSERVER_E_OK;
}

static bool is_the_same(obs_journal *j, size_t i, const parts *c) {
  uint64_t hash;
  int fd = j->segments[i].size < c->index.indexed ? -1 : obs_journal_open_segment(j, i);
  bool same = fd >= 0 && tail_hash(fd, c->index.indexed, &hash) && hash == c->hash;
  return (fd < 0 || close(fd) == 0) && same;
}

/* The segment that the checkpoint knows is still the active one, so no rotated one can begin behind it: somebody copied
 * a file. Left in the list it would push the active one's rows to other seqs, and they would count again at each start.
 */
static void leave_out_from(obs_journal *j, size_t i) {
  obs_journal_file_name name;
  size_t active = j->nsegments - 1;
  for (size_t k = i; k < active; k++) {
    obs_journal_segment_name(j, k, name);
    obs_log_error("journal", "%s/%s is ignored: its rows would overlap those of %s (see `observerctl check`)", j->dir,
                  name, j->name);
    obs_index_fini(&j->segments[k].index);
  }
  pthread_mutex_lock(&j->lock);
  j->segments[i] = j->segments[active];
  j->nsegments = i + 1;
  pthread_mutex_unlock(&j->lock);
}

/* Gives the segment the checkpoint's index unless its sidecar knows more. False: its rows are not those that the
 * checkpoint was made of. */
static bool adopt(obs_journal *j, parts *c) {
  /* The segment that was active then: the one with its first seq, else today's active one unless newer ones were
   * rotated since. */
  uint64_t wanted = c->index.first_seq;
  size_t i = 0;
  while (i + 1 < j->nsegments && j->segments[i].index.first_seq < wanted) i++;
  if (i + 1 < j->nsegments && c->index.indexed > 0 && is_the_same(j, j->nsegments - 1, c)) leave_out_from(j, i);
  obs_index *x = &j->segments[i].index;
  bool active = i + 1 == j->nsegments, emptied = active && j->segments[i].size == 0 && c->index.indexed > 0;
  if (emptied || (active ? x->first_seq > wanted : x->first_seq != wanted)) {
    obs_log_warn("journal", "rows that the checkpoint (seq %" PRIu64 ") has counted, or that follow it, were deleted",
                 c->seq);
    return true;
  }
  if (!is_the_same(j, i, c)) return false;
  if (x->first_seq == wanted && x->indexed >= c->index.indexed) return true;
  obs_index_fini(x);
  *x = c->index;
  obs_index_init(&c->index, 0);
  return true;
}

static observer_err unusable(obs_journal *j, const char *why) {
  (void)snprintf(j->error, sizeof(j->error), "%s/%s: %s", j->dir, OBS_JOURNAL_CHECKPOINT, why);
  return OBSERVER_E_CORRUPT;
}

observer_err obs_journal_checkpoint_load(obs_journal *j, uint64_t *seq, obs_buf *blob) {
  obs_buf file = {0};
  parts c = {0};
  observer_err err = obs_file_read_all(j->dir_fd, OBS_JOURNAL_CHECKPOINT, CHECKPOINT_MAX, &file);
  if (err == OBSERVER_E_CORRUPT) err = unusable(j, "too large");
  if (err == OBSERVER_E_IO) err = obs_journal_fail(j, "read", OBS_JOURNAL_CHECKPOINT);
  if (err == OBSERVER_E_OK) {
    err = parse(&file, &c);
    if (err == OBSERVER_E_CORRUPT) err = unusable(j, "damaged");
    if (err == OBSERVER_E_NOMEM) err = obs_journal_fail_nomem(j, "checkpoint");
  }
  if (err == OBSERVER_E_OK) j->counted_seq = c.seq;
  if (err == OBSERVER_E_OK && !adopt(j, &c)) err = unusable(j, "the rows are not those it was made of");
  if (err == OBSERVER_E_OK) {
    *seq = c.seq;
    obs_buf_append(blob, c.blob, c.blob_len);
    if (blob->oom) err = obs_journal_fail_nomem(j, "checkpoint");
  }
  obs_index_fini(&c.index);
  obs_buf_fini(&file);
  return err;
}
