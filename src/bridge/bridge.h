/* The HTTP bridge: REST clients read the live state and post ops, over the server of src/httpd.
 *
 * In:  requests on any number of listeners; ops go to obs_commit, views come from the modules in the options.
 * Out: JSON answers; a post is answered when the journal has its ops durably. Every error closes the connection.
 * Threads: NNG's threads decode and never wait; views run on `obs:query`, scans of the files on `obs:scan`, reviews on
 * `obs:judge`, and what other machines are asked for on `obs:fleet`, `obs:edges` and `obs:leader`, so that 64 MiB of
 * journal delay no view. Who has what is asked for answers: a commit's completion writes the answer of its post. All
 * functions here are for the one thread that owns the bridge. */
#ifndef OBS_BRIDGE_BRIDGE_H
#define OBS_BRIDGE_BRIDGE_H

#include "access/access.h"
#include "alerts/alerts.h"
#include "bridge/requests.h"
#include "changes/changes.h"
#include "cluster/clusters.h"
#include "commit/commit.h"
#include "commit/ready.h"
#include "fleet/hands.h"
#include "fleet/picture.h"
#include "graph/graph.h"
#include "httpd/httpd.h"
#include "learn/learn.h"
#include "notify/notify.h"
#include "sessions/sessions.h"

#include <stdio.h>

typedef struct obs_bridge obs_bridge;

typedef struct {
  const char *const *urls; /* http://HOST:PORT, https://HOST:PORT, ipc:///PATH; port 0: any free one */
  size_t nurls;
  /* A Unix socket besides, for what a fleet asks of this daemon (fleet/ask.h): mode 0600, of the daemon's own user, and
   * whoever comes there may read what scope=cluster asks for, whatever keys there are. NULL: none. */
  const char *own_socket;
  obs_commit *commit;
  obs_state *state;
  obs_journal *journal;   /* NULL: ephemeral */
  obs_sessions *sessions; /* as commit has it; NULL: the session routes answer 503 */
  obs_clusters *clusters; /* NULL: the routes of clusters answer 503 */
  obs_graph *graph;       /* NULL: its route answers 503 */
  obs_changes *changes;   /* likewise */
  obs_learn *learn;       /* NULL: the routes of what is learned answer 503 */
  obs_alerts *alerts;     /* NULL: the routes of alerts and rules answer 503 */
  obs_notify *notify;     /* NULL: the routes of silences answer 503 */
  obs_access *access;     /* who may do what; NULL, or without a key file: everybody everything */
  obs_op_limits limits;
  /* httpd.h has the meaning of these, and of 0. */
  uint32_t max_connections, body_bytes, answer_bytes, head_ms, body_ms, idle_ms;
  obs_tls *tls;                              /* as in stream.h */
  const char *const *hosts, *const *origins; /* that are allowed besides one's own: guard.h */
  size_t nhosts, norigins;
  /* Appends the body of /health; on NNG's threads, must not block. NULL: an empty object. */
  void (*health)(void *arg, obs_buf *out);
  void *health_arg;
  /* Appends the body of /metrics, in the form of OpenMetrics or in the older one. On `obs:query`. NULL: 503. */
  void (*metrics)(void *arg, bool open, obs_buf *out);
  /* The same of a fleet, which is `merge`; on `obs:fleet`. */
  void (*fleet_metrics)(void *arg, obs_merge *merge, bool open, obs_buf *out);
  void *metrics_arg;
  obs_ready_sources ready; /* asked on NNG's threads: must not block */
  /* What the fleet is asked with, for scope=cluster, until it is given back; false: it cannot be asked now. On the
   * threads of a fleet, several at a time; may wait for a connection. NULL: the daemon belongs to no fleet. */
  bool (*fleet_hold)(void *arg, obs_fleet_hands *out);
  void (*fleet_release)(void *arg);
  void *fleet_arg;
  /* The fleet as it is now; on `obs:fleet`, where `fleet_hold` is not NULL. The bridge ends what it gets. */
  void (*picture)(void *arg, obs_fleet_picture *out);
  const char *refuses_ops; /* why nothing is recorded here, for 503 of what is posted; NULL: it is */
  uint32_t fleet_ring;     /* ops that a fleet's /stats is about */
} obs_bridge_opts;

/* Checks the URLs and the routes and starts the threads; nothing listens yet. The modules in `opts` outlive the bridge.
 * `error_text` names the URL and what is wrong with it. */
observer_err obs_bridge_open(const obs_bridge_opts *opts, obs_bridge **out, char *error_text, size_t error_size);
/* Listens. On failure nothing listens: `http http://127.0.0.1:3800: address in use by nginx (pid 12)`. */
observer_err obs_bridge_start(obs_bridge *b, char *error_text, size_t error_size);
/* The URLs of `urls`, with the real port once started. NULL beyond the last. */
const char *obs_bridge_url(const obs_bridge *b, size_t index);
/* Stops listening, closes idle connections, answers new requests 503, and waits until all that was taken is answered,
 * at most `deadline_ms`. The commit must still be running, so that waiting posts are answered: stop the bridge, then
 * the commit, then close the bridge. */
void obs_bridge_stop(obs_bridge *b, uint32_t deadline_ms);
/* Stops if that was not done, cuts what is left, and frees. The commit has given every batch back. NULL is allowed. */
void obs_bridge_close(obs_bridge *b);

/* Whether each listener still serves, and how many come: as in stream.h. */
void obs_bridge_probe(obs_bridge *b);
const char *obs_bridge_silent(obs_bridge *b);
void obs_bridge_get_connections(obs_bridge *b, obs_stream_counts *out);
/* What was asked for since the start. Any thread; brief. */
void obs_bridge_get_requests(obs_bridge *b, obs_requests_counts *out);

/* The route table, one line for each method and path: `GET /stats 200,400,... read`. */
void obs_bridge_print_routes(FILE *out);

#endif
