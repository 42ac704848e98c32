/* Plays ops to the daemon's own engine of rules, with the times that they had: for backtests, and for tests of rules.
 *
 * Turns are made each second of the time that is played, and in pauses longer than two minutes each half minute. What
 * the engine learns it learns from what is played. Rules on the daemon itself see nothing. One thread. */
#ifndef OBS_OBSERVERCTL_PLAYER_H
#define OBS_OBSERVERCTL_PLAYER_H

#include "alerts/engine.h"

typedef struct {
  const obs_rules *rules; /* the caller's */
  obs_engine *engine;
  obs_clusters *clusters; /* NULL: no rule is about clusters */
  obs_engine_look look;
  uint64_t cycle_ms; /* after which clusters may be resolved */
  int64_t now_ms;    /* 0: nothing was played yet */
  int64_t cycle_at;
  void (*event)(void *arg, const obs_alert *a);
  void *arg;
} obs_player;

/* False: no memory. Fini in either case. */
bool obs_player_init(obs_player *p, const obs_rules *rules);
void obs_player_fini(obs_player *p);
/* Lets time pass up to `ms`; the first call begins there. False: no memory. */
bool obs_player_pass(obs_player *p, int64_t ms);
/* An op whose times are set; time passes up to its receipt. */
bool obs_player_op(obs_player *p, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq);

#endif
