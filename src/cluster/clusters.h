/* Failure clusters: every recorded failure belongs to one, found as it is recorded.
 *
 * In:  recorded ops in journal order, as a follower of the commit stage (commit.h); the end of each cycle.
 * Out: views of the clusters and of repeats; events of new, regressed and spreading ones; the clusters of a batch's
 *   ops, in the batch.
 * Identity: a cluster is a kind of failure, and its kind is the template of its text, which the miner (miner.h) makes.
 *   endpoint, event_kind, source, staffer_id, task_class, session_id and sig_hash are dimensions of it: counted in its
 *   sets, never part of its identity. The id is a hash of the template, so the same journal gives the same ids on every
 *   machine. When the miner joins kinds, the narrower ids lead to the joined one (the last OBS_CLUSTERS_ALIASES), and
 *   so do the ids of older rules (former.h).
 * Times: rates, states, quiet and what is recent go by receipt, what is shown as seen by event time (op.h). A late
 *   failure counts in its cluster, and makes nothing new, regressed or spread: a kind known from late ones alone is
 *   RESOLVED.
 * Restart: the checkpoint holds all of it, and the journal's rows behind it bring the rest. Only the moment when a
 *   cluster was resolved is not in the journal, so ask for a checkpoint when obs_clusters_cycle resolved some. With
 *   another `clusters` than the checkpoint's, or another version or rule, the whole journal is read once.
 * Memory: the `clusters` that failed last stay. One is 3.6 KB, with 350 bytes an endpoint (16 at most), and at worst 16
 *   KB of texts and endpoints; the miner adds 6 KB at worst; corrections 0.7 MB, repeats 1 to 3 MB, ids that lead on 1
 *   MB in all. 2,000: at worst 60 MB, usually 15.
 * Threads: apply, apply_row, save, load on the commit thread (or before it starts); everything else on any. One mutex,
 *   held for one batch, one save, or one look through the table, never across I/O; views are copies. */
#ifndef OBS_CLUSTER_CLUSTERS_H
#define OBS_CLUSTER_CLUSTERS_H

#include "base/hex.h"
#include "base/page.h"
#include "op/batch.h"

#include <observer/error.h>

enum {
  OBS_CLUSTERS_DEFAULT = 2000,
  OBS_CLUSTERS_QUIET = 20,
  OBS_CLUSTERS_FRESH_MS = 600000,
  OBS_CLUSTERS_ALIASES = 1024,
  OBS_CLUSTERS_LATE = 64,    /* so many that failed last are looked at for a correction of their task_class */
  OBS_CLUSTER_PLACES = 16,   /* endpoints with states and rates of their own; those that failed last stay */
  OBS_CLUSTERS_EVENTS = 100, /* a second */
  OBS_CLUSTER_TOP = 8,       /* values of a set; of more, those that come often stay (top_set.h) */
  OBS_CLUSTER_SAMPLES = 5,   /* the first two failures and the last three */
  OBS_CLUSTER_TEXT_MAX = 128,
  OBS_CLUSTER_TEMPLATE_MAX = 1024,
  OBS_CORRECTIONS = 1024, /* remembered in all */
  OBS_CORRECTIONS_EACH = 5,
  OBS_CORRECTION_NEXT = 20, /* ops after a correction that are counted for it, until the next one of the same */
  OBS_CORRECTION_TEXT_MAX = 400,
  OBS_REPEAT_KINDS = 4,     /* of a task that fails again and again, those it failed with last */
  OBS_CLUSTER_HOURS = 24,   /* of a trend */
  OBS_CLUSTERS_VERSION = 3, /* of the bytes that save makes (saved.c) */
  OBS_CLUSTERS_FORMER = 2   /* of those that load_former reads */
};

/* Milliseconds: beyond any date that an op can have. */
#define OBS_CLUSTER_TIME_MAX (INT64_C(1) << 53)

typedef struct obs_clusters obs_clusters;

/* NEW at the first failure (that is not late); ONGOING from the first one that comes OBS_CLUSTERS_FRESH_MS after that;
 * RESOLVED after `quiet` cycles without one (cycles in which the daemon runs: an outage resolves nothing); REGRESSED
 * when it fails again then, and ONGOING again OBS_CLUSTERS_FRESH_MS later. */
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

/* NEW: the first failure of its kind. REGRESSED: the first one after its cluster was resolved. SPREAD: it is known and
 * open, and begins to fail at an endpoint where it never failed, or had been resolved. */
#define OBS_CLUSTER_EVENT_MAP(X)                                                                                       \
  X(NEW, "new")                                                                                                        \
  X(REGRESSED, "regressed")                                                                                            \
  X(SPREAD, "spread")

typedef enum {
#define OBS_CLUSTER_EVENT_ENUM(name, text) OBS_CLUSTER_EVENT_##name,
  OBS_CLUSTER_EVENT_MAP(OBS_CLUSTER_EVENT_ENUM)
#undef OBS_CLUSTER_EVENT_ENUM
      OBS_CLUSTER_EVENT_KINDS
} obs_cluster_event_kind;

extern const char *const obs_cluster_event_names[OBS_CLUSTER_EVENT_KINDS];

/* Texts live as long as the call. */
typedef struct {
  obs_cluster_event_kind kind;
  uint64_t id, count, op_seq, missed; /* missed: such events before this one that were beyond the limit */
  int64_t first_ms, last_ms;
  obs_str template, sig_hash, endpoint, source, event_kind, task_class; /* of the op; p NULL: it has none */
} obs_cluster_event;

typedef struct {
  uint32_t clusters; /* most at once; default OBS_CLUSTERS_DEFAULT */
  uint32_t quiet;    /* cycles; default OBS_CLUSTERS_QUIET */
  /* Called for at most OBS_CLUSTERS_EVENTS events a second, on the commit thread, under no lock; must not block. NULL:
   * no events. Replay makes none. */
  void (*event)(void *arg, const obs_cluster_event *e);
  void *event_arg;
  bool fleet; /* of a part of a fleet's ops, or of several parts: seqs are a fleet's (base/fleet_seq.h), rows come all
               * by apply_row and had no ids by older rules, and the bytes of save are for obs_clusters_merge */
} obs_clusters_opts;

observer_err obs_clusters_open(const obs_clusters_opts *opts, obs_clusters **out);
/* NULL is allowed. */
void obs_clusters_close(obs_clusters *c);

/* The follower of the commit stage (commit.h). `clusters` is the obs_clusters. */
void obs_clusters_apply(void *clusters, obs_batch *b, uint64_t first_seq, int64_t now_ms);
void obs_clusters_apply_row(void *clusters, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq,
                            int64_t now_ms);
observer_err obs_clusters_save(void *clusters, obs_buf *out);
/* Before any apply. CORRUPT, and NEWER of bytes that a later rule made, leave the table empty. */
observer_err obs_clusters_load(void *clusters, const void *data, size_t len);
/* The same of the bytes of version OBS_CLUSTERS_FORMER, which know no trend: it begins empty. */
observer_err obs_clusters_load_former(void *clusters, const void *data, size_t len);

/* Adds what `from` holds, so that `c` shows what one table would that had seen the failures of both. Exact are which
 * kinds there are, though each saw a part of what shows them to be one; counts, rates, trends, samples, and estimates
 * of different values; sets and endpoints, as long as no more values came than are kept. States are what can be told of
 * each one's (obs_cluster_course_joined). Runs of failures, and the ops that are counted after a correction, are those
 * of tasks whose ops were all in one part.
 *
 * Both are of a fleet. `from`, which nobody else may have, is only good to be closed then, `c` only to be looked at,
 * once merge_end has found which failures of one part the corrections of another are for. NOMEM: some may be missing.
 */
observer_err obs_clusters_merge(obs_clusters *c, obs_clusters *from);
void obs_clusters_merge_end(obs_clusters *c);

/* A cycle is over: returns how many clusters it resolved, wholly or at some of their endpoints. */
uint32_t obs_clusters_cycle(obs_clusters *c, int64_t now_ms);

typedef struct {
  uint32_t held, states[OBS_CLUSTER_STATES];
  uint64_t failures;  /* in all, also of clusters that are no more */
  uint64_t forgotten; /* clusters that went to make room */
  uint64_t merged;
  uint64_t lost;                            /* failures without a cluster, for lack of memory */
  uint32_t repeats;                         /* tasks that failed again and again, and have not succeeded since */
  uint64_t repeats_forgotten;               /* such that went to make room */
  uint64_t transitions[OBS_CLUSTER_STATES]; /* into each state, since the start; without what a replay did */
} obs_clusters_counts;
void obs_clusters_get_counts(obs_clusters *c, obs_clusters_counts *out);

typedef enum {
  OBS_CLUSTERS_BY_LAST_SEEN,
  OBS_CLUSTERS_BY_FIRST_SEEN,
  OBS_CLUSTERS_BY_COUNT,
  OBS_CLUSTERS_BY_RATE,
  /* New and regressed ones, then ongoing ones, then resolved ones; within them by the time that the failures of the
   * last hour took, then of all, then by count. */
  OBS_CLUSTERS_BY_IMPACT
} obs_clusters_order;

/* Which clusters; a text with p NULL: any. All of them must hold. */
typedef struct {
  obs_str endpoint, source, staffer_id, task_class, event_kind, session_id; /* is in the cluster's set */
  obs_str sig_hash;         /* is in the set, or failed with it lately (repeats.h) */
  obs_str q;                /* part of the template */
  int state;                /* -1: any */
  int64_t since_ms;         /* a failure was received then or later; INT64_MIN: any */
  obs_clusters_order order; /* largest first; ties by id */
  obs_page page;            /* walked */
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

/* A set of which there may be as many values as failures. */
typedef struct {
  uint64_t failures; /* that have one */
  uint64_t distinct; /* different ones, an estimate (distinct.h) */
  obs_cluster_values top;
} obs_cluster_many;

/* The cluster at one endpoint. */
typedef struct {
  obs_str endpoint;
  uint64_t count, last_minute, last_hour;
  obs_cluster_state state;
  int64_t state_ms, first_ms, last_ms;
} obs_cluster_place;

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
  uint64_t late;                     /* of `count` */
  uint64_t wasted_ms;                /* the time that its failures took (trend.h) */
  uint32_t trend[OBS_CLUSTER_HOURS]; /* failures by hour, oldest first, the last one under way */
  obs_cluster_state state;
  int64_t state_ms, first_ms, last_ms;
  int64_t received_ms;          /* the receipt of the last failure */
  obs_str template;             /* p NULL: its failures have no text */
  obs_str sig_hash, event_kind; /* that all failures have; p NULL: they have several, or some have none */
  obs_cluster_values endpoints, sources, staffers, task_classes, event_kinds;
  obs_cluster_many sessions, sig_hashes;
  obs_cluster_place places[OBS_CLUSTER_PLACES]; /* the one that failed last first */
  uint32_t nplaces;
  uint64_t places_forgotten;             /* endpoints that went to make room */
  uint64_t samples[OBS_CLUSTER_SAMPLES]; /* seqs */
  uint32_t nsamples;
  uint64_t corrected;                         /* corrections that came after it */
  uint32_t regressions, resolutions, spreads; /* how often; 0: the times below are none */
  int64_t regressed_ms, resolved_ms, spread_ms;
  obs_cluster_correction corrections[OBS_CORRECTIONS_EACH]; /* the latest, oldest first */
  uint32_t ncorrections;
  const uint64_t *former_ids; /* of obs_clusters_one alone */
  uint32_t nformer_ids;
  bool fleet; /* seqs are a fleet's */
} obs_cluster_view;

/* Gives a page of the clusters that match to `fn` in the filter's order, under no lock, until it returns false, which
 * says that it has not taken that one; one that went meanwhile is left out. */
observer_err obs_clusters_each(obs_clusters *c, const obs_clusters_filter *f, int64_t now_ms,
                               bool (*fn)(void *arg, const obs_cluster_view *x), void *arg, obs_page_end *end);
/* One cluster, with its former ids. `id` may be a former one. False: there is none. */
bool obs_clusters_one(obs_clusters *c, uint64_t id, int64_t now_ms, void (*fn)(void *arg, const obs_cluster_view *x),
                      void *arg);
/* The part of a cluster that changes, without texts: for a look at all clusters. */
typedef struct {
  uint64_t id, count, first_seq, last_seq;
  uint32_t episode; /* 1, and one more with each regression */
  uint32_t recent;  /* failures of the last hour */
  obs_cluster_state state;
  int64_t first_ms, last_ms;
} obs_cluster_brief;
/* The `max` clusters that failed last, latest first; returns how many. */
uint32_t obs_clusters_briefs(obs_clusters *c, int64_t now_ms, obs_cluster_brief *out, uint32_t max);
/* A cluster's failures of the last `ms`, at most an hour, to the exactness of rate.h. */
uint64_t obs_clusters_within(obs_clusters *c, uint64_t id, uint64_t ms, int64_t now_ms);

/* What has happened: of each cluster the latest of its kind, and corrections. Texts live as long as the call. */
typedef enum {
  OBS_CLUSTERS_CHANGE_NEW,
  OBS_CLUSTERS_CHANGE_REGRESSED,
  OBS_CLUSTERS_CHANGE_SPREAD,
  OBS_CLUSTERS_CHANGE_CORRECTION
} obs_clusters_change_kind;
typedef struct {
  obs_clusters_change_kind kind;
  int64_t time_ms;  /* of what is new its first event time, of a correction its own */
  uint64_t id, seq; /* of a cluster, of an op; 0: none that is known */
  obs_str text;     /* the template, or the correction; p NULL: none */
  obs_str endpoint; /* where it spread to; p NULL: not known */
} obs_clusters_change;
/* `fn` runs under the lock, which is given back now and then: it is brief and does not call the clusters. */
void obs_clusters_changes(obs_clusters *c, void (*fn)(void *arg, const obs_clusters_change *x), void *arg);

/* ---- repeats: tasks that fail again and again (repeats.h) ---- */

/* Which; a text with p NULL: any. All of them must hold. */
typedef struct {
  obs_str sig_hash, session_id, endpoint, staffer_id;
  uint32_t least; /* failures */
  obs_page page;  /* walked */
} obs_repeats_filter;

/* A run of failures without a success between. Texts are those of its first failure; p NULL: it had none. */
typedef struct {
  obs_str sig_hash, session_id, endpoint, staffer_id;
  uint64_t failures, first_seq, last_seq;
  int64_t first_ms, last_ms;
  uint64_t kinds[OBS_REPEAT_KINDS]; /* ids of the clusters it failed with last, the latest first */
  uint32_t nkinds;
  bool fleet; /* seqs are a fleet's */
} obs_repeat_view;

/* The order of a walk through them. */
enum { OBS_REPEATS_ORDER = 16 };
/* Gives a page of the runs that match to `fn`, the one that failed last first, likewise. */
observer_err obs_clusters_repeats(obs_clusters *c, const obs_repeats_filter *f,
                                  bool (*fn)(void *arg, const obs_repeat_view *x), void *arg, obs_page_end *end);

/* ---- ids ---- */

/* The clusters whose id, or a former id, is within `r`: each once, at most `max`; returns how many. */
uint32_t obs_clusters_ids(obs_clusters *c, const obs_hex_range *r, uint64_t *out, uint32_t max);
/* The id that a former id leads to; any other as it is. */
uint64_t obs_clusters_now(obs_clusters *c, uint64_t id);
/* The id of the cluster that a recorded op belongs to now; 0: none. */
uint64_t obs_clusters_of(obs_clusters *c, const obs_op *op);

#endif
