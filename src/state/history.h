/* How the last hour and the last day went, step by step: ops, failures and quantiles of each minute, and of each ten
 * minutes.
 *
 * An op is counted in the minute and in the ten minutes of its receipt; what is older than the longest kept is not. A
 * step stands at its number modulo how many are kept, with its number beside it, so nothing is rolled and a clock that
 * is set right needs no care. A step that is refused a sketch page stays exact in its counts and has no quantiles.
 *
 * Memory: 30 KB, and at most OBS_HISTORY_BYTES of sketches. Not thread-safe: the state's lock covers it. */
#ifndef OBS_STATE_HISTORY_H
#define OBS_STATE_HISTORY_H

#include "state/series.h"

enum { OBS_HISTORY_HOUR, OBS_HISTORY_DAY, OBS_HISTORY_SPANS };
enum { OBS_HISTORY_MINUTES = 60, OBS_HISTORY_TENS = 144, OBS_HISTORY_STEPS = OBS_HISTORY_MINUTES + OBS_HISTORY_TENS };
/* Every page of every step. */
enum { OBS_HISTORY_BYTES = OBS_HISTORY_STEPS * OBS_SKETCH_PAGES * OBS_SKETCH_PAGE_COST };

typedef struct {
  int64_t step; /* its number since the epoch */
  obs_series_slice slice;
} obs_history_step;

typedef struct {
  obs_sketch_pool pool;
  obs_history_step steps[OBS_HISTORY_STEPS]; /* the minutes, then the tens */
  obs_history_step *at[OBS_HISTORY_SPANS];   /* where ops are counted now; NULL: too old to be kept */
} obs_history;

/* What a span is made of. */
typedef struct {
  int64_t ms; /* of a step */
  uint32_t n, first;
} obs_history_span;
extern const obs_history_span obs_history_spans[OBS_HISTORY_SPANS];

void obs_history_init(obs_history *h);
void obs_history_fini(obs_history *h);

/* The ops that follow were received at `time_ms`, which is not behind `now_ms`. */
void obs_history_move(obs_history *h, int64_t time_ms, int64_t now_ms);

static inline void obs_history_add(obs_history *h, const obs_series_sample *sample) {
  for (int i = 0; i < OBS_HISTORY_SPANS; i++) {
    if (h->at[i] == NULL) continue;
    obs_series_slice *s = &h->at[i]->slice;
    obs_series_tally_add(&s->n, sample);
    if (s->refused || obs_sketch_add(&s->sketch, &h->pool, sample->bucket)) continue;
    obs_sketch_clear(&s->sketch, &h->pool);
    s->refused = true;
  }
}

/* Where a step stands. */
static inline uint32_t obs_history_place(int span, int64_t step) {
  const obs_history_span *x = &obs_history_spans[span];
  return x->first + (uint32_t)((uint64_t)step % x->n);
}
/* The slice of that step; NULL: nothing was counted in it. */
const obs_series_slice *obs_history_slice(const obs_history *h, int span, int64_t step);

#endif
