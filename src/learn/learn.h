/* Learning: the loops that make the record useful. Nothing here ever waits where recording does.
 *
 * `obs:learn` runs a cycle: each loop of the table in learn.c once, in its order; it and the loops' own threads run at
 * a low priority. A cycle that still runs when the next one is due makes that one wait; of several that are due one is
 * run, the others are counted as missed. Every outgoing call goes through one obs_calls.
 * Owner: the daemon. Open before recovery (followers), start when commit and feed run, stop before commit stops. */
#ifndef OBS_LEARN_LEARN_H
#define OBS_LEARN_LEARN_H

#include "learn/loop.h"

/* Opens the loops: all stores, with what they hold. `error_text` names the file or option and the reason. */
observer_err obs_learn_open(const obs_learn_opts *opts, obs_learn **out, char *error_text, size_t error_size);
/* Its followers of commit: appended to `list`, of which *n are used. The clusters' follower is before them. */
void obs_learn_followers(obs_learn *l, obs_commit_follower *list, uint32_t *n);
observer_err obs_learn_start(obs_learn *l, obs_commit *commit);
/* A cycle is due. Any thread; returns at once. */
void obs_learn_cycle(obs_learn *l);
/* A cluster is new or has regressed: loops that refresh do so soon. Commit thread. */
void obs_learn_stir(obs_learn *l);
/* Ends calls, cycle and the loops' threads, joins. */
void obs_learn_stop(obs_learn *l);
/* NULL is allowed. */
void obs_learn_close(obs_learn *l);

typedef struct {
  uint32_t analyser; /* 0: builtin; else 1 and the model's obs_llm_kind */
  uint64_t cycles, missed_cycles;
  uint64_t cycle_ms; /* what the last one took, without the loops that have a thread of their own */
  obs_calls_counts calls;
  obs_gateway_counts gateway;
} obs_learn_counts;
/* Any thread; brief. */
void obs_learn_get_counts(obs_learn *l, obs_learn_counts *out);

#endif
