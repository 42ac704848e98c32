/* What /metrics tells of each endpoint: counts of this run, for at most OBS_EXPOSED_OWN endpoints by name.
 *
 * An op is counted in its endpoint's place, or in place 0, which is OBS_NAMES_OTHER, where the endpoint has none: so
 * every counter only grows, and the sum of all is the ops of this run, however places change hands. An endpoint gets a
 * place with its first op as long as one is free. Later (obs_exposed_rank, once a minute at most) one that was twice as
 * busy in the last hour takes the place of the least busy: whoever had it is counted as other from then on, and begins
 * at 0 should it come back, which is a restart of a counter as any other. Nothing of this is in the checkpoint.
 *
 * Exemplars: of each bucket, and of the failures, an op that was counted there, a new one once a second at most.
 *
 * Memory: 72 KB. Not thread-safe: the state's lock covers it. */
#ifndef OBS_STATE_EXPOSED_H
#define OBS_STATE_EXPOSED_H

#include "base/histogram.h"
#include "state/totals.h"

enum { OBS_EXPOSED_OWN = 50, OBS_EXPOSED_PLACES = OBS_EXPOSED_OWN + 1, OBS_EXPOSED_SESSION = 63 };
enum { OBS_EXPOSED_LONGEST_MS = 86400000 }; /* in a sum */
enum { OBS_EXPOSED_FAILURE = OBS_HISTOGRAM_BOUNDS + 1, OBS_EXPOSED_EXEMPLARS };

/* Of durations, in milliseconds; 0 is not measured, and in no bucket. A duration counts towards the sum as a day at
 * most: a producer's mistake of 2^63 ms must not wrap it, nor make it useless. */
extern const obs_histogram_scale obs_exposed_scale;

typedef struct {
  uint64_t seq; /* 0: there is none */
  int64_t at_ms;
  uint64_t ms;
  uint8_t len; /* of session; 0: it has none, or a longer one */
  char session[OBS_EXPOSED_SESSION];
} obs_exposed_exemplar;

/* One place. `name` stays where it is for as long as the state; p NULL: nobody has it. */
typedef struct {
  obs_str name;
  uint64_t succeeded, failed;
  obs_histogram ms;
  uint32_t second[OBS_EXPOSED_EXEMPLARS]; /* of each exemplar */
  obs_exposed_exemplar exemplars[OBS_EXPOSED_EXEMPLARS];
} obs_exposed_place;

typedef struct {
  obs_exposed_place places[OBS_EXPOSED_PLACES];
  uint32_t used; /* places below have somebody */
  int64_t ranked_ms;
} obs_exposed;

void obs_exposed_init(obs_exposed *x);
/* Gives an endpoint a place that is free; `name` is as the totals keep it. */
void obs_exposed_give(obs_exposed *x, obs_series *se, obs_str name);
/* The part of obs_exposed_add that is rare. */
void obs_exposed_note(obs_exposed_place *p, uint32_t which, const obs_op *op, uint64_t seq, uint32_t second);

/* Counts an op. `second`: of its receipt. */
static inline void obs_exposed_add(obs_exposed *x, const obs_series *se, const obs_op *op, uint64_t seq,
                                   uint32_t second) {
  obs_exposed_place *p = &x->places[se->place];
  if (op->success) {
    p->succeeded++;
  } else {
    p->failed++;
    if (p->second[OBS_EXPOSED_FAILURE] != second) obs_exposed_note(p, OBS_EXPOSED_FAILURE, op, seq, second);
  }
  if (!OBS_HAS(op, duration_ms) || op->duration_ms <= 0) return;
  uint64_t ms = (uint64_t)op->duration_ms;
  uint32_t at = obs_histogram_place(&obs_exposed_scale, ms);
  p->ms.n[at]++;
  p->ms.sum += ms < OBS_EXPOSED_LONGEST_MS ? ms : OBS_EXPOSED_LONGEST_MS;
  if (p->second[at] != second) obs_exposed_note(p, at, op, seq, second);
}

/* An endpoint, by its id, and its ops of the last hour. */
typedef struct {
  uint32_t id;
  uint64_t ops;
} obs_exposed_rank;
enum { OBS_EXPOSED_RANK_MS = 60000 };
/* Touches nothing but `ranks`: needs no lock. */
void obs_exposed_sort(obs_exposed_rank *ranks, uint32_t n);
/* Places change hands; `ranks` are all endpoints but OBS_NAMES_OTHER, sorted. */
void obs_exposed_hand_over(obs_exposed *x, obs_totals_keys *endpoints, const obs_exposed_rank *ranks, uint32_t n);

#endif
