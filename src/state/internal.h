/* The inside of obs_state, shared by the files of this folder only. */
#ifndef OBS_STATE_INTERNAL_H
#define OBS_STATE_INTERNAL_H

#include "state/exposed.h"
#include "state/history.h"
#include "state/ring.h"
#include "state/state.h"
#include "state/totals.h"

#include <pthread.h>

struct obs_state {
  obs_state_opts opts;
  obs_sketch_scale scale; /* constant after open */
  pthread_mutex_t mutex;  /* over what follows */
  obs_ring ring;
  obs_totals totals;
  obs_history history;
  obs_exposed exposed;
};

/* pthread_mutex_lock and unlock of a default mutex cannot fail when used right; these say so in one place. */
static inline void obs_state_lock(obs_state *s) {
  if (pthread_mutex_lock(&s->mutex) != 0) __builtin_trap();
}
static inline void obs_state_unlock(obs_state *s) {
  if (pthread_mutex_unlock(&s->mutex) != 0) __builtin_trap();
}

#endif
