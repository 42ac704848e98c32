/* Who talks to what: a count for each (staffer_id, source, endpoint) that comes, over the last minute, five minutes and
 * hour.
 *
 * In:  recorded ops, as a follower of the commit stage (commit.h).
 * Out: pages of the edges of a window, the busiest first; ops of edges that were not held, to `fresh`.
 * Bound: OBS_GRAPH_EDGES edges. When they are full, a triple gets a place at its second op (a filter remembers the
 *   first ones), from one that is hardly active; until then, and for what the displaced one had, ops count as other. So
 *   many triples that come once displace nothing, and what comes oftener than one op in 4,096 stays, about. At most
 *   1,000 are displaced in a second.
 * Windows are slices as in state/series.h: 1m is 60 to 70 s, 5m 300 to 360 s, 1h 3600 to 3900 s, of receipt.
 * Usual: the mean duration of five-minute slices that are over, with a half-life of OBS_GRAPH_HALF_LIFE_MS; of fewer
 *   than OBS_GRAPH_USUAL ops nothing is said. Durations of 0 are not known and count in no mean.
 * Retry: an op within OBS_GRAPH_RETRY_MS after a failure of the same session_id, endpoint and sig_hash, of which it has
 *   one of the former and the latter. The last OBS_GRAPH_FAILED failures are known, about; after a restart none.
 * Fresh: first seen less than an hour ago, while the graph itself is older than an hour. An edge in another's place may
 *   have been there before, and never is.
 * Restart: its part of the checkpoint; without it, it begins with the rows that the ring gets.
 * Memory: 0.9 KB an edge with its names, at worst 4.6 MB in all.
 * Threads: apply, apply_row, save, load on the commit thread (or before it starts); the rest on any. One mutex, held
 * for 256 ops, one save, or a look at 64 edges. */
#ifndef OBS_GRAPH_GRAPH_H
#define OBS_GRAPH_GRAPH_H

#include "base/page.h"
#include "op/batch.h"

#include <observer/error.h>

enum {
  OBS_GRAPH_EDGES = 4096,
  OBS_GRAPH_FAILED = 8192,
  OBS_GRAPH_RETRY_MS = 600000,
  OBS_GRAPH_FRESH_MS = 3600000,
  OBS_GRAPH_HALF_LIFE_MS = 28800000,
  OBS_GRAPH_USUAL = 20,
  OBS_GRAPH_ORDER = 64, /* of a walk, and the window */
  OBS_GRAPH_VERSION = 1 /* of the bytes that save makes (saved.c) */
};

typedef enum { OBS_GRAPH_1M, OBS_GRAPH_5M, OBS_GRAPH_1H, OBS_GRAPH_WINDOWS } obs_graph_window;

typedef struct obs_graph obs_graph;

typedef struct {
  uint32_t edges; /* most at once; 0: OBS_GRAPH_EDGES */
  /* Each recorded op whose edge is not held when it comes, live or of the past; on the commit thread, under no lock,
   * must not block. NULL: nobody asks. */
  void (*fresh)(void *arg, const obs_op *op, uint64_t seq);
  void *fresh_arg;
} obs_graph_opts;

observer_err obs_graph_open(const obs_graph_opts *opts, obs_graph **out);
/* NULL is allowed. */
void obs_graph_close(obs_graph *g);

/* The follower of the commit stage. `graph` is the obs_graph. */
void obs_graph_apply(void *graph, obs_batch *b, uint64_t first_seq, int64_t now_ms);
void obs_graph_apply_row(void *graph, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq, int64_t now_ms);
observer_err obs_graph_save(void *graph, obs_buf *out);
/* Before any apply. CORRUPT leaves it empty. */
observer_err obs_graph_load(void *graph, const void *data, size_t len);

typedef struct {
  uint64_t ops, failures, retries;
  bool timed;     /* some of them took a time that is known: */
  double mean_ms; /* their mean */
} obs_graph_count;

/* A text is cut as obs_names_shown does; p NULL: absent. Lives as long as the call. */
typedef struct {
  obs_str staffer_id, source, endpoint;
  obs_graph_count n;
  bool usual; /* the following is known */
  double usual_ms;
  int64_t first_ms, last_ms; /* receipts */
  bool fresh;
} obs_graph_edge;

typedef struct {
  int window;    /* obs_graph_window */
  obs_page page; /* walked */
} obs_graph_filter;

typedef struct {
  obs_graph_count other; /* of the window */
  uint32_t held;         /* edges, with ops in the window or not */
} obs_graph_rest;

/* Gives a page of the edges with ops in the window to `fn`, the busiest first, under no lock, until it returns false,
 * which says that it has not taken that one. */
observer_err obs_graph_each(obs_graph *g, const obs_graph_filter *f, int64_t now_ms,
                            bool (*fn)(void *arg, const obs_graph_edge *e), void *arg, obs_graph_rest *rest,
                            obs_page_end *end);

/* The names of every edge that is held; `fn` is brief and does not call the graph. */
void obs_graph_names(obs_graph *g, void (*fn)(void *arg, const obs_graph_edge *e), void *arg);

#endif
