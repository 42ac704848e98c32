#include "state/history.h"

const obs_history_span obs_history_spans[OBS_HISTORY_SPANS] = {
    [OBS_HISTORY_HOUR] = {60000, OBS_HISTORY_MINUTES, 0},
    [OBS_HISTORY_DAY] = {600000, OBS_HISTORY_TENS, OBS_HISTORY_MINUTES}};

static void empty(obs_history *h, obs_history_step *p) {
  obs_sketch_clear(&p->slice.sketch, &h->pool);
  *p = (obs_history_step){0};
}

void obs_history_init(obs_history *h) {
  *h = (obs_history){.pool = {.max_bytes = OBS_HISTORY_BYTES}};
}

void obs_history_fini(obs_history *h) {
  for (uint32_t i = 0; i < OBS_HISTORY_STEPS; i++) empty(h, &h->steps[i]);
  for (int i = 0; i < OBS_HISTORY_SPANS; i++) h->at[i] = NULL;
}

void obs_history_move(obs_history *h, int64_t time_ms, int64_t now_ms) {
  for (int i = 0; i < OBS_HISTORY_SPANS; i++) {
    int64_t ms = obs_history_spans[i].ms, step = time_ms > 0 ? time_ms / ms : 0;
    obs_history_step *p = &h->steps[obs_history_place(i, step)];
    h->at[i] = p;
    if (p->step == step) continue;
    /* What is there is of a round before, or was counted by a clock that was ahead; or this time is a round behind. */
    if (p->step > step && p->step <= now_ms / ms) {
      h->at[i] = NULL;
      continue;
    }
    empty(h, p);
    p->step = step;
  }
}

const obs_series_slice *obs_history_slice(const obs_history *h, int span, int64_t step) {
  const obs_history_step *p = &h->steps[obs_history_place(span, step)];
  return p->step == step && p->slice.n.count > 0 ? &p->slice : NULL;
}
