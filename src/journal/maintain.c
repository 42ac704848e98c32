/* Retention: what is no longer kept goes, oldest first; the active segment always stays. */
#include "base/log.h"
#include "journal/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static uint64_t rotated_bytes(const obs_journal *j) {
  uint64_t n = 0;
  for (size_t i = 0; i + 1 < j->nsegments; i++) n += j->segments[i].size;
  return n;
}

static bool oldest_must_go(const obs_journal *j, int64_t now_ms) {
  if (j->nsegments < 2) return false;
  const obs_journal_opts *o = &j->opts;
  if (o->retain_segments > 0 && j->nsegments - 1 > o->retain_segments) return true;
  if (o->retain_bytes > 0 && rotated_bytes(j) > o->retain_bytes) return true;
  if (o->retain_seconds == 0 || o->retain_seconds > INT64_MAX / 1000) return false;
  int64_t newest = j->segments[0].index.max_ms, kept = (int64_t)o->retain_seconds * 1000;
  return newest < now_ms - kept;
}

/* With the last rotated segment goes the only name that tells the active one's first seq: it is written down first. */
static bool note_first_seq(obs_journal *j) {
  obs_index x;
  obs_index_init(&x, obs_journal_active(j)->index.first_seq);
  obs_journal_file_name name;
  obs_journal_active_sidecar_name(j, name);
  if (obs_index_write_sidecar(&x, j->dir_fd, name, true)) return true;
  obs_log_warn("journal", "write %s/%s: %s (nothing is deleted)", j->dir, name, strerror(errno));
  return false;
}

static void delete_file(const obs_journal *j, const char *name) {
  if (unlinkat(j->dir_fd, name, 0) == 0 || errno == ENOENT) return;
  obs_log_warn("journal", "delete %s/%s: %s", j->dir, name, strerror(errno));
}

/* Out of the list first: a reader that comes now does not look for it, one that is at it has it open. */
static void drop_oldest(obs_journal *j) {
  obs_journal_file_name segment, sidecar;
  obs_journal_segment_name(j, 0, segment);
  obs_journal_sidecar_name(j, j->segments[0].index.first_seq, sidecar);
  pthread_mutex_lock(&j->lock);
  obs_index_fini(&j->segments[0].index);
  j->nsegments--;
  memmove(j->segments, j->segments + 1, j->nsegments * sizeof(*j->segments));
  pthread_mutex_unlock(&j->lock);
  delete_file(j, segment);
  delete_file(j, sidecar);
  obs_log_info("journal", "deleted %s/%s: retention", j->dir, segment);
}

void obs_journal_maintain(obs_journal *j, int64_t now_ms) {
  while (j->replayed && oldest_must_go(j, now_ms)) {
    if (j->nsegments == 2 && !note_first_seq(j)) break;
    drop_oldest(j);
  }
  obs_journal_maintain_rejected(j);
}
