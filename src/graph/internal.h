/* The inside of the graph: what changes it (graph.c), what it is as bytes (saved.c), and what shows it (views.c). */
#ifndef OBS_GRAPH_INTERNAL_H
#define OBS_GRAPH_INTERNAL_H

#include "base/map.h"
#include "base/names.h"
#include "graph/graph.h"

#include <pthread.h>

enum {
  OBS_GRAPH_TICK_MS = 10000,
  OBS_GRAPH_MINUTE = 6, /* ticks */
  OBS_GRAPH_FIVE = 30,
  OBS_GRAPH_TENS = 7, /* slices kept of each length */
  OBS_GRAPH_MINUTES = 6,
  OBS_GRAPH_FIVES = 13,
  OBS_GRAPH_SLICES = OBS_GRAPH_TENS + OBS_GRAPH_MINUTES + OBS_GRAPH_FIVES,
  OBS_GRAPH_TEXTS = 3,
  OBS_GRAPH_SEEN = 4096, /* words of the filter */
  OBS_GRAPH_SPOTS = 1024 /* where failures are known to have been, by endpoint */
};

typedef struct {
  uint32_t ops, failures, retries, timed;
  uint64_t ms; /* of those that are timed */
} obs_graph_tally;

/* Slice k of a length is at k modulo how many are kept; the current ten seconds are in no longer slice yet. */
typedef struct {
  int64_t tick;
  obs_graph_tally slices[OBS_GRAPH_SLICES];
  double usual_ops, usual_ms; /* weights and sum of five minutes that are over, as of `tick` */
} obs_graph_series;

typedef struct {
  uint64_t key;
  uint64_t first_seq, last_seq;
  int64_t first_ms, last_ms;
  obs_graph_series series;
  bool replaced; /* in another's place */
  uint8_t present;
  uint8_t len[OBS_GRAPH_TEXTS]; /* OBS_NAMES_SHOWN at most */
  char *text;                   /* staffer_id, source, endpoint; NULL: the slot was never used */
} obs_graph_slot;

struct obs_graph {
  obs_graph_opts opts;
  uint64_t seed;
  pthread_mutex_t lock; /* guards all below; only the commit thread changes it, but for rolling */
  obs_graph_slot *slots;
  uint32_t *heat;      /* by slot: ops, and those of who had it before; fades */
  uint32_t held, hand; /* hand: where the next one to make room is looked for */
  uint64_t displaced;
  obs_map index; /* slot by key */
  obs_graph_series other;
  uint64_t last_seq;
  int64_t began_ms; /* receipt of the first op that it has seen; 0: none */

  /* The commit thread's own. */
  uint64_t seen[OBS_GRAPH_SEEN];
  uint32_t nseen, in_second; /* in_second: places taken in `second` */
  int64_t second;
  struct {
    uint64_t key;
    int64_t ms;
  } failed[OBS_GRAPH_FAILED];
  int64_t spots[OBS_GRAPH_SPOTS]; /* the last failure of the endpoints that fall there */
};

/* A tick as of now, of any time. */
int64_t obs_graph_tick(int64_t ms);
/* Moves on to `tick`. */
void obs_graph_roll(obs_graph_series *s, int64_t tick);
void obs_graph_tally_add(obs_graph_tally *to, const obs_graph_tally *n);
/* The key of three texts as they are kept; p NULL: absent. */
uint64_t obs_graph_key(const obs_graph *g, const obs_str texts[OBS_GRAPH_TEXTS]);
/* Fills a slot that is free; false: no memory. */
bool obs_graph_set_texts(obs_graph_slot *s, const obs_str texts[OBS_GRAPH_TEXTS]);
obs_str obs_graph_text(const obs_graph_slot *s, int which);
/* Empties it. */
void obs_graph_clear(obs_graph *g);

#endif
