/* Recorded ops by HTTP, as rows of text. */
#ifndef OBS_OBSERVERCTL_HISTORY_H
#define OBS_OBSERVERCTL_HISTORY_H

#include "observerctl/ask/match.h"

typedef struct {
  uint64_t seq;
  size_t at, len; /* of the row in `text`, as recorded */
} obs_history_row;

/* Newest first. */
typedef struct {
  obs_buf text, rows; /* obs_history_row */
  size_t nrows;
  bool more; /* there were more than asked for, or than could be read in time */
} obs_history;

enum { OBS_HISTORY_MAX = 10000 }; /* rows */

/* The last ops that match, at most `limit`, none at or below `after_seq`. False: `error` says why. Fini in either
 * case. */
bool obs_history_read(obs_history *h, const char *url, const obs_match *match, uint64_t after_seq, size_t limit,
                      char *error, size_t size);
void obs_history_fini(obs_history *h);
static inline const obs_history_row *obs_history_at(const obs_history *h, size_t i) {
  return (const obs_history_row *)(const void *)h->rows.p + i;
}

#endif
