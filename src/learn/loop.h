/* A learning loop is one folder and one row: the folder exports its `obs_loop`, learn.c lists it.
 *
 * The main thread calls open, start, stop and close: the first two in the table's order, the others in reverse. `cycle`
 * is called once a cycle in the table's order, on the thread `obs:learn`, or on a thread of the loop's own. page, one
 * and records are called on any thread. Members of a row that a loop has no use for are NULL. */
#ifndef OBS_LEARN_LOOP_H
#define OBS_LEARN_LOOP_H

#include "base/page.h"
#include "cluster/clusters.h"
#include "commit/commit.h"
#include "diagnose/facts.h"
#include "learn/announce.h"
#include "learn/evidence.h"
#include "learn/exposure/exposure.h"
#include "outbound/gateway.h"
#include "outbound/llm.h"

typedef struct obs_learn obs_learn;

/* All options of learning; each loop takes those that are its own. */
typedef struct {
  const char *dir; /* NULL: ephemeral */
  obs_state *state;
  obs_journal *journal; /* NULL: ephemeral */
  obs_clusters *clusters;
  obs_op_limits limits;
  const char *corrections_path, *gateway_url, *team_url; /* NULL: none */
  obs_llm_opts model;                                    /* url NULL: builtin; `calls` is set by learn */
  obs_calls_opts calls;                                  /* `dir` is set by learn */
  uint32_t escalate_failures, escalate_window_s, escalate_cooldown_s, escalate_per_hour;
  uint32_t playbook_cycles; /* 0: the default */
  double advice_holdout;    /* share of sessions whose advice is held back, 0 to 1 */
  obs_announce announce;
} obs_learn_opts;

/* A "don't" that follows from an analysis; texts live as long as the call. */
typedef struct {
  uint64_t cluster, analysis;   /* analysis: its number */
  obs_str endpoint, task_class; /* where it applies; p NULL: anywhere */
  obs_str text;
  const uint64_t *seqs; /* evidence, all verified */
  uint32_t nseqs;
  int64_t time_ms;
  const obs_facts_view *facts; /* the window that it follows from; NULL: not at hand */
} obs_loop_dont;

/* What the loops share; lives as long as they do. */
typedef struct {
  const obs_learn_opts *opts;
  const obs_learn *learn; /* for obs_learn_loop */
  obs_facts *facts;
  obs_exposure *exposure;
  obs_calls *calls;
  obs_llm *model;       /* NULL: builtin */
  obs_gateway *gateway; /* NULL: none */
  obs_evidence evidence;
  /* Takes the don'ts: set by the loop that keeps them, called on the learning thread. NULL: nobody does. */
  void (*dont)(void *arg, const obs_loop_dont *d);
  void *dont_arg;
} obs_loop_tools;

typedef struct {
  uint64_t cycle;           /* counts from 1 */
  uint64_t last_seq;        /* the last op that was recorded by now */
  const _Atomic bool *stop; /* end early */
} obs_loop_turn;

typedef struct {
  const char *name;   /* of the folder, and of the list in a page */
  const char *thread; /* its cycle runs there, when the loops before it are done; NULL: obs:learn */
  /* `*loop` is what the other members are called with. `error_text` names the file or option and the reason. */
  observer_err (*open)(obs_loop_tools *tools, void **loop, char *error_text, size_t size);
  observer_err (*start)(void *loop, obs_commit *commit);
  void (*cycle)(void *loop, const obs_loop_turn *turn);
  /* When the threads start, and soon after a cluster is new or has regressed; the learning thread. */
  void (*refresh)(void *loop, const obs_loop_turn *turn);
  void (*stop)(void *loop); /* outgoing calls and cycles have ended */
  void (*close)(void *loop);
  obs_commit_follower follower; /* of commit, without `arg`, which is the loop; no name: none */
  /* Appends a JSON array of the rows that match, newest first. `filter` is the loop's own struct, which begins with
   * the obs_page that is asked for. */
  observer_err (*page)(void *loop, const void *filter, obs_buf *out, obs_page_end *end);
  uint32_t walk; /* the order of walks through it; 0: its rows have numbers, and pages go on below one */
  /* Appends the row with that id. False: there is none. */
  bool (*one)(void *loop, uint64_t id, obs_buf *out);
  /* The ids within `r`, at most `max`; returns how many. NULL: rows have numbers, or no view of one. */
  uint32_t (*ids)(void *loop, const obs_hex_range *r, uint64_t *out, uint32_t max);
  obs_records *(*records)(void *loop); /* its file, for the metrics */
} obs_loop;

/* The loop of a row of the table, opened. */
void *obs_learn_loop(const obs_learn *l, const obs_loop *row);

#endif
