/* Live state: the ring of the last ops, `/stats`, lifetime and windowed aggregates.
 *
 * In:  recorded ops with their JSON line and seq, in journal order, from the one commit thread (and from replay, before
 *      that thread starts). Everything here is already in the journal.
 * Out: JSON views, read by any thread; a blob for the checkpoint.
 * Locks: one mutex, never held across I/O and for at most one batch or one key's merge at a time.
 * Memory: bounded whatever is published. Ring text is capped in bytes (the oldest rows lose their text first, never
 *   their place in the counts); endpoints and sources beyond the cap are counted under OBS_NAMES_OTHER; sketch pages
 *   have a budget, and a window that could not get a page answers null quantiles and is counted. With the defaults the
 *   worst case is about 46 MB: 8 of ring text (12 while it grows), 16 of windowed sketches, 12 of series with their
 *   lifetime sketches, 6 of names, 3 of scenario digests, 1 of the history (ring.h, totals.h, history.h); a usual load
 *   takes 2 to 8. */
#ifndef OBS_STATE_STATE_H
#define OBS_STATE_STATE_H

#include "base/json.h"
#include "op/batch.h"
#include "state/exposed.h"
#include "state/newest.h"

#include <observer/error.h>

typedef struct obs_state obs_state;

typedef struct {
  uint32_t ring;            /* ops kept; default 2000 */
  uint32_t ring_text_bytes; /* JSON text kept for them; default 8 MiB */
  uint32_t endpoints;       /* distinct endpoints counted by name; default 1000 */
  uint32_t sources;         /* distinct sources counted by name; default 100 */
  uint32_t sketch_bytes;    /* budget for windowed sketch pages; default 16 MiB */
  bool totals_only;         /* rows (obs_state_apply_row) count in the aggregates alone: of a part of a fleet's ops */
} obs_state_opts;

#define OBS_STATE_OPTS_DEFAULT ((obs_state_opts){2000, 8u << 20, 1000, 100, 16u << 20, false})

typedef struct {
  uint32_t ring;                            /* ops in the ring */
  uint64_t ring_successes, ring_failures;   /* of those */
  uint64_t total, successes, failures;      /* lifetime */
  uint64_t scenario, langfuse, corrections; /* in the ring, by source: the cycle line */
  uint64_t last_seq;
  uint32_t endpoints, sources; /* distinct names held */
  uint64_t overflow;           /* ops counted under OBS_NAMES_OTHER */
  uint64_t sketch_pages_refused;
  uint64_t overflow_sources, overflow_endpoints; /* the same since the start, for each */
} obs_state_counts;

observer_err obs_state_open(const obs_state_opts *opts, obs_state **out);
void obs_state_close(obs_state *s);
/* How many ops the ring holds at most. */
uint32_t obs_state_ring_size(const obs_state *s);

/* Applies every op of `b` that is not marked duplicate; the first gets seq `first_seq`, the next one more, and so on.
 * `now_ms` is the wall clock of recording: windows go by it. Sets b->ring_size. */
void obs_state_apply(obs_state *s, obs_batch *b, uint64_t first_seq, int64_t now_ms);
/* Replay: applies one op of the past. `ring_only` when the loaded checkpoint already counts it: it enters the ring and
 * nothing else. Windows go by the op's own timestamp then. */
void obs_state_apply_row(obs_state *s, const obs_op *op, const char *line, size_t len, uint64_t seq, bool ring_only,
                         int64_t now_ms);

void obs_state_get_counts(obs_state *s, obs_state_counts *out);
/* One moment: what a page that is watched asks for each second. */
enum { OBS_STATE_1M, OBS_STATE_5M, OBS_STATE_1H, OBS_STATE_WINDOWS };
typedef struct {
  int64_t begin_ms; /* of a step; 0 in a window */
  uint64_t ops, failures;
  bool quantiles; /* the following are known */
  int64_t p50, p95, p99;
} obs_state_figures;
typedef struct {
  uint64_t ops, failures, last_seq; /* lifetime */
  int64_t last_ms;                  /* receipt of the last op; 0: there is none */
  obs_state_figures windows[OBS_STATE_WINDOWS];
} obs_state_moment;
void obs_state_look(obs_state *s, int64_t now_ms, obs_state_moment *out);

/* The steps of the last hour (minutes) or day (ten minutes), oldest first, the one under way last; empty ones, too.
 * Returns how many. The history of an hour and of a day is all that is known: after a restart it goes on. */
typedef enum { OBS_STATE_HOUR, OBS_STATE_DAY } obs_state_span;
enum { OBS_STATE_STEPS = 144 };
uint32_t obs_state_history(obs_state *s, obs_state_span span, int64_t now_ms, obs_state_figures out[OBS_STATE_STEPS]);
/* How long a step of it is. */
int64_t obs_state_step_ms(obs_state_span span);

/* The lifetime's ops by source, in no order; one moment's counts, so that their sum is the total then. `fn` runs under
 * the state's lock: it is brief and does not call the state. */
void obs_state_sources(obs_state *s, void (*fn)(void *arg, obs_str name, uint64_t ops, uint64_t failures), void *arg);
/* How each endpoint did lately: its ops of the last five minutes, or of the last hour where those are fewer than
 * OBS_STATE_FEW. `fn` as above. */
enum { OBS_STATE_FEW = 10 };
void obs_state_endpoints(obs_state *s, int64_t now_ms,
                         void (*fn)(void *arg, obs_str name, uint64_t ops, uint64_t failures), void *arg);
/* The ops of an endpoint: the lifetime's, and those of the last hour (series.h). */
typedef struct {
  obs_str name;
  uint64_t ops, failures, hour_ops, hour_failures;
} obs_state_endpoint;
/* Each endpoint; as in obs_state_sources, but the lock is given back now and then. */
void obs_state_endpoint_totals(obs_state *s, void (*fn)(void *arg, const obs_state_endpoint *e), void *arg);
/* What /metrics tells of endpoints (exposed.h): hands places over, should that be due, and copies those that somebody
 * has, a few at a time under the lock. Returns how many; the first one is OBS_NAMES_OTHER. */
uint32_t obs_state_exposed(obs_state *s, int64_t now_ms, obs_exposed_place out[OBS_EXPOSED_PLACES]);
/* The body of /stats: total successes failures by_source recent_scenario_ops, over the ring. `omit_unset`: an unset
 * digest field is left out (legacy), else "". by_source is sorted by name. */
void obs_state_stats_json(obs_state *s, bool omit_unset, obs_buf *out);
/* The members of /v1/observer/summary's body that are about ops, into an object that is open. */
void obs_state_put_summary(obs_state *s, int64_t now_ms, obs_json_writer *w);

/* Visits ring rows newest first, from below `before_seq` (0: the newest), until `fn` returns false. `fn` runs without
 * the lock on a copy. Returns the seq of the oldest row whose text the ring still has (0: none). */
typedef struct {
  uint64_t seq;
  obs_str line;
  int64_t received_ms, skew_ms; /* as the op's */
} obs_state_row;
uint64_t obs_state_ring_rows(obs_state *s, uint64_t before_seq, bool (*fn)(void *arg, const obs_state_row *row),
                             void *arg);

enum { OBS_STATE_VERSION = 1 };
/* Lifetime and windows as bytes for the checkpoint (its own format version inside); the ring is not part of it. */
observer_err obs_state_save(obs_state *s, obs_buf *out);
/* Before any apply. CORRUPT, and NEWER of bytes of a later version, leave the state empty. `now_ms` ages the windows.
 */
observer_err obs_state_load(obs_state *s, const void *data, size_t len, int64_t now_ms);

/* ---- several that saw parts of the ops ---- */

/* Adds what `from` counted, so that `s` is as if it had seen the ops of both: counts, failures and lifetime quantiles
 * are exact, and windows as exact as a state's own (series.h), as long as no names or sketch pages were refused.
 * `from`, which nobody else may have, is only good to be closed then. The ring and the history stay as they are. */
void obs_state_merge(obs_state *s, obs_state *from);
/* Its ops become the ring's, which was empty. */
void obs_state_put_newest(obs_state *s, obs_newest *x);

/* The history's own part, as a follower of the commit stage saves and loads it (commit.h): the state itself feeds it,
 * so it needs no rows, and a checkpoint without the part has it begin empty. CORRUPT leaves it empty. */
enum { OBS_STATE_HISTORY_VERSION = 1 };
observer_err obs_state_save_history(void *state, obs_buf *out);
observer_err obs_state_load_history(void *state, const void *data, size_t len);

#endif
