/* Failure clusters: every recorded failure belongs to one, found as it is recorded.
 *
 * Which one: with a `sig_hash`, that hash's; without, the cluster that the miner (miner.h) gives to its error text
 *   (`error`, else `output_summary`) among the failures of the same endpoint and event_kind. The id, 16 hex digits,
 *   is a hash of that, not a number: the same journal gives the same ids on every machine. When the miner finds that
 *   two kinds are one the counts and sets add up, the older id stays, and the younger one still leads to it (the
 *   last OBS_CLUSTERS_ALIASES).
 * Of each cluster: count, failures of the last minute and hour, first and last op (seq and time), the endpoints,
 *   sources, staffers and task classes with counts, the seqs of the first two and last three failures, corrections,
 *   its state. Times are the ops' own. Rates go by the clock of recording (in replay by the op's time).
 * Sets: at most OBS_CLUSTER_TOP values each. Up to so many the counts are exact; beyond, those that come often stay
 *   (Metwally's space-saving), a count says how often at least, and `(other)` is the rest of the sum.
 * State: `new` at the first failure; `ongoing` from the first one that comes OBS_CLUSTERS_FRESH_MS after that;
 *   `resolved` after `quiet` cycles without one (obs_clusters_cycle); `regressed` when it fails again then, and
 *   `ongoing` again OBS_CLUSTERS_FRESH_MS later. Only cycles in which the daemon runs count as quiet: an outage
 *   resolves nothing.
 * Corrections: an op of source overseer_correction is tied to the cluster of its sig_hash; without one, to the
 *   clusters of its task_class among the OBS_CLUSTERS_LATE that failed last. Each remembers how the next
 *   OBS_CORRECTION_NEXT ops of that sig_hash (or task_class) went, until another correction of the same comes.
 * What survives: all of it, ids and the miner's knowledge too, is in the checkpoint, and the journal's rows behind
 *   it bring the rest, so that after kill -9 the table is what the journal says. What the journal does not hold is
 *   when a cluster was resolved: the daemon writes a checkpoint with it, and without any checkpoint no cluster is
 *   `resolved` or `regressed`. Another `clusters` than the checkpoint's means that the whole journal is read once.
 * Cost: a success without open corrections costs two comparisons.
 * Memory: `clusters` clusters, those that failed last stay. One is 2 KB, and at worst 8 KB of texts (each cut at
 *   OBS_CLUSTER_TEXT_MAX, templates at OBS_CLUSTER_TEMPLATE_MAX bytes); the miner adds 6 KB at worst, corrections
 *   0.7 MB in all. 2,000: at worst 29 MB, usually 8.
 * Threads: apply, apply_row, save, load on the commit thread (or before it starts); everything else on any. One
 *   mutex, held for one batch, one save, or one look through the table, never across I/O; views copy out. */
#ifndef OBS_CLUSTER_CLUSTERS_H
#define OBS_CLUSTER_CLUSTERS_H

#include "op/batch.h"

#include <observer/error.h>

enum {
  OBS_CLUSTERS_DEFAULT = 2000,
  OBS_CLUSTERS_QUIET = 20,
  OBS_CLUSTERS_FRESH_MS = 600000,
  OBS_CLUSTERS_ALIASES = 1024,
  OBS_CLUSTERS_LATE = 64,
  OBS_CLUSTERS_EVENTS = 100, /* told a second */
  OBS_CLUSTER_TOP = 8,
  OBS_CLUSTER_SAMPLES = 5,
  OBS_CLUSTER_TEXT_MAX = 128,
  OBS_CLUSTER_TEMPLATE_MAX = 1024,
  OBS_CORRECTIONS = 1024, /* remembered in all */
  OBS_CORRECTIONS_EACH = 5,
  OBS_CORRECTION_NEXT = 20,
  OBS_CORRECTION_TEXT_MAX = 400,
  OBS_CLUSTER_ID_LEN = 16,
  OBS_CLUSTERS_VERSION = 1 /* of the bytes that save makes (persist.c) */
};

/* Milliseconds: beyond any date that an op can have. */
#define OBS_CLUSTER_TIME_MAX (INT64_C(1) << 53)

typedef struct obs_clusters obs_clusters;

#define OBS_CLUSTER_STATE_MAP(X)                                                                                       \
  X(NEW, "new")                                                                                                        \
  X(ONGOING, "ongoing")                                                                                                \
  X(REGRESSED, "regressed")                                                                                            \
  X(RESOLVED, "resolved")

typedef enum {
#define OBS_CLUSTER_STATE_ENUM(name, text) OBS_CLUSTER_##name,
  OBS_CLUSTER_STATE_MAP(OBS_CLUSTER_STATE_ENUM)
#undef OBS_CLUSTER_STATE_ENUM
      OBS_CLUSTER_STATES
} obs_cluster_state;

extern const char *const obs_cluster_state_names[OBS_CLUSTER_STATES];

/* A cluster is new, or has regressed. Texts live as long as the call. */
typedef struct {
  obs_cluster_state state;            /* NEW or REGRESSED */
  uint64_t id, count, op_seq, missed; /* missed: such events before this one that were beyond the limit */
  int64_t first_ms, last_ms;
  obs_str template, sig_hash, endpoint, source, event_kind, task_class; /* of the op; p NULL: it has none */
} obs_cluster_event;

typedef struct {
  uint32_t clusters; /* most at once; default OBS_CLUSTERS_DEFAULT */
  uint32_t quiet;    /* cycles; default OBS_CLUSTERS_QUIET */
  /* At most OBS_CLUSTERS_EVENTS a second; commit thread, under no lock; must not block. NULL: nobody is told. Replay
   * tells nothing. */
  void (*event)(void *arg, const obs_cluster_event *e);
  void *event_arg;
} obs_clusters_opts;

observer_err obs_clusters_open(const obs_clusters_opts *opts, obs_clusters **out);
/* NULL is allowed. */
void obs_clusters_close(obs_clusters *c);

/* The follower of the commit stage (commit.h). `clusters` is the obs_clusters. */
void obs_clusters_apply(void *clusters, obs_batch *b, uint64_t first_seq, int64_t now_ms);
void obs_clusters_apply_row(void *clusters, const obs_op *op, uint64_t seq, int64_t now_ms);
observer_err obs_clusters_save(void *clusters, obs_buf *out);
/* Before any apply. CORRUPT leaves the table empty. */
observer_err obs_clusters_load(void *clusters, const void *data, size_t len);

/* A cycle is over: returns how many clusters it resolved. */
uint32_t obs_clusters_cycle(obs_clusters *c, int64_t now_ms);

typedef struct {
  uint32_t held, states[OBS_CLUSTER_STATES];
  uint64_t failures;  /* in all, also of clusters that are no more */
  uint64_t forgotten; /* clusters that went to make room */
  uint64_t merged;
  uint64_t lost; /* failures without a cluster, for lack of memory */
} obs_clusters_counts;
void obs_clusters_get_counts(obs_clusters *c, obs_clusters_counts *out);

typedef enum {
  OBS_CLUSTERS_BY_LAST_SEEN,
  OBS_CLUSTERS_BY_FIRST_SEEN,
  OBS_CLUSTERS_BY_COUNT,
  OBS_CLUSTERS_BY_RATE
} obs_clusters_order;

/* Which clusters; a text with p NULL: any. All of them must hold. */
typedef struct {
  obs_str endpoint, source, staffer_id, task_class; /* is in the cluster's set */
  obs_str sig_hash, event_kind;
  obs_str q;                /* part of the template */
  int state;                /* -1: any */
  int64_t since_ms;         /* last seen not before; INT64_MIN: any */
  obs_clusters_order order; /* largest first; ties by id */
  uint32_t limit;
} obs_clusters_filter;

/* A value of a cluster's set and how often it came. */
typedef struct {
  obs_str value;
  uint64_t count;
} obs_cluster_value;

typedef struct {
  obs_cluster_value v[OBS_CLUSTER_TOP]; /* the most frequent first */
  uint32_t n;
  uint64_t other; /* how often values came that are not listed */
} obs_cluster_values;

typedef struct {
  uint64_t seq;
  int64_t time_ms;
  obs_str text;
  bool by_class;   /* for a task_class, not a sig_hash */
  bool came, next; /* whether an op came after it, and succeeded */
  uint32_t succeeded, failed;
} obs_cluster_correction;

/* A cluster as it is at one moment: a copy, which lives as long as the call. */
typedef struct {
  uint64_t id, count, last_minute, last_hour, first_seq, last_seq;
  obs_cluster_state state;
  int64_t state_ms, first_ms, last_ms;
  obs_str template, sig_hash, event_kind; /* p NULL: none */
  obs_cluster_values endpoints, sources, staffers, task_classes;
  uint64_t samples[OBS_CLUSTER_SAMPLES]; /* seqs */
  uint32_t nsamples;
  uint64_t corrected;                /* corrections that came after it */
  uint32_t regressions, resolutions; /* how often; 0: the times below are none */
  int64_t regressed_ms, resolved_ms;
  obs_cluster_correction corrections[OBS_CORRECTIONS_EACH]; /* the latest, oldest first */
  uint32_t ncorrections;
  const uint64_t *former_ids; /* of obs_clusters_one alone */
  uint32_t nformer_ids;
} obs_cluster_view;

/* Gives the clusters that match to `fn` in the filter's order, under no lock, until it returns false; one that went
 * meanwhile is left out. *total: how many match. */
observer_err obs_clusters_each(obs_clusters *c, const obs_clusters_filter *f, int64_t now_ms,
                               bool (*fn)(void *arg, const obs_cluster_view *x), void *arg, uint32_t *total);
/* One cluster, with its former ids. `id` may be a former one. False: there is none. */
bool obs_clusters_one(obs_clusters *c, uint64_t id, int64_t now_ms, void (*fn)(void *arg, const obs_cluster_view *x),
                      void *arg);
/* What changes of a cluster, without its texts: for who looks at all of them. */
typedef struct {
  uint64_t id, count, first_seq, last_seq;
  uint32_t episode; /* 1, and one more with each regression */
  uint32_t recent;  /* failures of the last hour */
  obs_cluster_state state;
  int64_t first_ms, last_ms;
} obs_cluster_brief;
/* The `max` clusters that failed last, latest first; returns how many. */
uint32_t obs_clusters_briefs(obs_clusters *c, int64_t now_ms, obs_cluster_brief *out, uint32_t max);
/* A cluster's failures of the last `ms`, as its rate tells them (rate.h: an hour at most). */
uint64_t obs_clusters_within(obs_clusters *c, uint64_t id, uint64_t ms, int64_t now_ms);
/* The id that a former id leads to; any other as it is. */
uint64_t obs_clusters_now(obs_clusters *c, uint64_t id);
/* The id of the cluster that a recorded op belongs to, as things stand; 0: none. */
uint64_t obs_clusters_of(obs_clusters *c, const obs_op *op);
/* 16 hex digits. */
bool obs_cluster_id_parse(obs_str text, uint64_t *id);
void obs_cluster_id_format(uint64_t id, char out[OBS_CLUSTER_ID_LEN + 1]);

#endif
