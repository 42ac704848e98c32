/* The store's inside, for its test too, which swaps the sync.
 *
 * `lock` guards stats and ring. Everything else is the commit thread's, but for the journal's own readers. */
#ifndef OBS_SESSIONS_INTERNAL_H
#define OBS_SESSIONS_INTERNAL_H

#include "base/vec.h"
#include "journal/journal.h"
#include "sessions/sessions.h"
#include "sessions/stats.h"
#include "state/dedupe.h"

#include <pthread.h>

enum { OBS_SESSIONS_RING = 1000, OBS_SESSIONS_RING_BYTES = 4 << 20 };

typedef struct {
  uint64_t number;
  char *p;
  uint32_t len; /* without the newline */
} obs_sessions_kept;

struct obs_sessions {
  obs_journal *journal; /* NULL: ephemeral */
  obs_dedupe *dedupe;
  obs_session_reader reader;

  /* What was appended and neither committed nor rolled back. */
  const obs_str *rows;
  const bool *duplicate;
  uint32_t nrows, fresh;
  OBS_VEC(struct iovec) iov;
  const char *group_error; /* why the last append failed, when it was the note of a group; else NULL */

  pthread_mutex_t lock;
  obs_session_stats stats;
  obs_sessions_kept ring[OBS_SESSIONS_RING]; /* ephemeral only */
  uint32_t first, kept;
  size_t kept_bytes;
};

#endif
