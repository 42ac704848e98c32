/* The inside of the engine: counting (engine.c), states (engine_turn.c), what it is as bytes (engine_saved.c). */
#ifndef OBS_ALERTS_ENGINE_INTERNAL_H
#define OBS_ALERTS_ENGINE_INTERNAL_H

#include "alerts/engine.h"
#include "base/map.h"

enum {
  OBS_ENGINE_SLOW_BUCKETS = 96,  /* four an octave: to 2^24 ms */
  OBS_ENGINE_ENDPOINTS = 1024,   /* whose activity is known, for rules on clusters */
  OBS_ENGINE_MINUTES = 10,       /* of it */
  OBS_ENGINE_SETTLE_MS = 600000, /* after its begin, or a pause as long, an endpoint's kinds of failure are not new */
  OBS_ENGINE_REGULAR_OPS = 100,  /* of a group whose absence is learned, */
  OBS_ENGINE_REGULAR_MS = 86400000, /* and known for so long */
  OBS_ENGINE_PAUSES = 3,            /* times its longest pause */
  OBS_ENGINE_USUAL_OPS = 200,       /* of a group whose duration is learned */
  OBS_ENGINE_USUAL_MS = 3600000,
  OBS_ENGINE_FOLD_MS = 300000, /* how often it learns */
  OBS_ENGINE_FLAP_MS = 3600000,
  OBS_ENGINE_KEPT_MS = 604800000 /* a group that has learned something stays so long without an op */
};

/* What ops usually take: `base` up to the last fold, `recent` since. */
typedef struct {
  uint32_t base[OBS_ENGINE_SLOW_BUCKETS], recent[OBS_ENGINE_SLOW_BUCKETS];
  int64_t folded_ms;
  uint64_t slow_ms; /* longer is slow; 0: not known yet */
} obs_engine_usual;

/* The window: all ops, and those that are counted as bad (or, of a rule on ops, those that match). */
typedef struct {
  int64_t bucket; /* number of the newest */
  uint32_t n[OBS_ENGINE_BUCKETS], m[OBS_ENGINE_BUCKETS];
} obs_engine_window;

typedef struct {
  bool used, dirty;
  uint64_t hash, ops;
  char *values; /* one for each `by`, each with a NUL behind it */
  int64_t first_ms, last_ms, longest_ms;
  int64_t resumed_ms; /* where absence is learned: its last long pause ended then */
  uint64_t sum_n, sum_m;
  obs_engine_window *window; /* NULL: the form has none */
  obs_engine_usual *usual;   /* NULL: nothing is learned */
  uint64_t seqs[OBS_ALERT_SEQS];
  uint32_t next_seq; /* place in `seqs` */
  uint32_t flaps;    /* it fired so often within an hour of its end */
  uint32_t mark;     /* of a cluster: the turn that saw it */
  int64_t resolved_ms, clear_ms;
  obs_alert *alert; /* NULL: inactive */
  bool said;        /* the alert's words are of this verdict and these two numbers */
  uint8_t said_verdict;
  uint64_t said_n, said_m;
} obs_engine_group;

typedef struct {
  const obs_rule *rule;
  uint32_t keys; /* which of the engine's lists of fields makes its groups; UINT32_MAX: none */
  int64_t bucket_ms;
  OBS_VEC(obs_engine_group) groups;      /* by slot; 0: (other), or the only one */
  obs_map index;                         /* slot by hash */
  OBS_VEC(uint32_t) free, dirty, active; /* slots */
  /* Of an absence that is learned, as of the turn at regular_ms: how many groups are regular, and when those that go on
   * were back from their last long pause, in that order. */
  uint32_t regular;
  int64_t regular_ms;
  OBS_VEC(int64_t) resumed;
  uint64_t last_hash;
  uint32_t last_slot;       /* 0: none */
  int64_t at_ms, at_bucket; /* of the op at hand: divisions are dear */
  uint32_t at_index;
  uint32_t turn;
  int64_t warm_ms, swept_ms; /* nothing is clear before warm_ms */
  uint64_t fired, not_numbers;
  int64_t last_fired_ms;
} obs_engine_runtime;

/* Ops of an endpoint, for rules on clusters. */
typedef struct {
  uint64_t hash;
  int64_t last_ms, active_ms; /* since when it has not paused */
  int64_t minute;
  uint32_t n[OBS_ENGINE_MINUTES];
} obs_engine_endpoint;

/* Of a rule that ops are counted for: what each op needs of it. */
typedef struct {
  obs_condition_quick first;
  const obs_conditions *when;
  obs_engine_runtime *t;
} obs_engine_step;

struct obs_engine {
  const obs_rules *rules;
  obs_engine_step steps[OBS_RULES_MAX];
  uint32_t nsteps;
  obs_engine_runtime *at;              /* one a rule */
  const obs_rule *keys[OBS_RULES_MAX]; /* a rule for each list of fields that makes groups */
  uint64_t key_hash[OBS_RULES_MAX];    /* of the op at hand, */
  uint64_t key_op[OBS_RULES_MAX];      /* if this is its number */
  uint32_t nkeys;
  uint64_t op; /* number of the op at hand */
  obs_condition_room room;
  obs_buf value; /* of a group's key */
  bool has_clusters;
  OBS_VEC(obs_engine_endpoint) endpoints;
  obs_map endpoint_index;
  uint64_t number, held_back;
  uint32_t active;
  int64_t began_ms;
};

#define OBS_ENGINE_SEED UINT64_C(0x6f62736572766572)

/* The slot of the group with these values, made when there is room; 0: (other). */
uint32_t obs_engine_group_of(obs_engine_runtime *t, uint64_t hash, const obs_str *values);
/* How many values a group has. */
static inline uint32_t obs_engine_values(const obs_rule *r) {
  return r->form == OBS_RULE_CLUSTER ? 1 : r->nby;
}
/* The hash of a group's values. */
uint64_t obs_engine_hash(const obs_str *values, uint32_t n);
/* Moves the window on to the bucket of `now_ms`. */
void obs_engine_roll(const obs_engine_runtime *t, obs_engine_group *g, int64_t now_ms);
/* It is looked at in the next turn. */
void obs_engine_mark(obs_engine_runtime *t, obs_engine_group *g, uint32_t slot);
/* The group's values as labels; returns how many. */
uint32_t obs_engine_labels(const obs_engine_runtime *t, const obs_engine_group *g, obs_alert_label *out);
const obs_engine_endpoint *obs_engine_endpoint_of(const obs_engine *e, uint64_t hash);
void obs_engine_drop_group(obs_engine_runtime *t, uint32_t slot);
uint64_t obs_engine_slow_ms(const obs_rule *r, const obs_engine_usual *u);

#endif
