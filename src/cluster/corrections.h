/* Corrections that were given, and how the ops after them went.
 *
 * A correction is for a key: the hash of a sig_hash or of a task_class. It is open until OBS_CORRECTION_NEXT ops of
 * that key came, or another correction of the same key; at most OBS_CORRECTIONS_OPEN are open, and the oldest ends
 * first. Corrections have numbers from 1; the last OBS_CORRECTIONS are remembered. Not thread-safe. */
#ifndef OBS_CLUSTER_CORRECTIONS_H
#define OBS_CLUSTER_CORRECTIONS_H

#include "base/pack.h"
#include "cluster/clusters.h"

enum { OBS_CORRECTIONS_OPEN = 64 };

typedef struct {
  uint64_t seq, key;
  int64_t time_ms;
  bool by_class;      /* for a task_class */
  bool next, came;    /* how the first op after it went, when one came */
  uint32_t succeeded; /* of the next ones */
  uint32_t failed;
  char *text;
  uint32_t len;
} obs_correction;

typedef struct {
  obs_correction ring[OBS_CORRECTIONS]; /* number n at n % OBS_CORRECTIONS */
  uint64_t last;                        /* number; 0: none yet */
  uint64_t open[OBS_CORRECTIONS_OPEN];  /* numbers, oldest first */
  uint64_t keys[OBS_CORRECTIONS_OPEN];  /* theirs */
  uint32_t nopen;
  uint64_t bits; /* one for each open key's low 6 bits */
} obs_corrections;

void obs_corrections_fini(obs_corrections *c);
/* Returns the new one's number. */
uint64_t obs_corrections_add(obs_corrections *c, uint64_t seq, int64_t time_ms, uint64_t key, bool by_class,
                             obs_str text);
/* NULL: it is no longer remembered. */
const obs_correction *obs_corrections_get(const obs_corrections *c, uint64_t number);
/* Counts an op of that key. */
void obs_corrections_note(obs_corrections *c, uint64_t key, bool success);
/* What numbers have become: of number n at n % OBS_CORRECTIONS; 0: it is no longer remembered. */
typedef struct {
  uint64_t last, now[OBS_CORRECTIONS];
} obs_corrections_numbers;
static inline uint64_t obs_corrections_number(const obs_corrections_numbers *x, uint64_t n) {
  return n > 0 && n <= x->last && x->last - n < OBS_CORRECTIONS ? x->now[n % OBS_CORRECTIONS] : 0;
}
/* Adds those of `from`, which is empty then; of both the latest by seq stay, with numbers in that order. False: no
 * memory, nothing has changed. */
bool obs_corrections_merge(obs_corrections *c, obs_corrections *from, obs_corrections_numbers *own,
                           obs_corrections_numbers *others);
void obs_corrections_save(const obs_corrections *c, obs_buf *out);
/* Into an empty one; in->bad when the bytes are no corrections, or there is no memory. */
void obs_corrections_load(obs_corrections *c, obs_pack_reader *in);

#endif
