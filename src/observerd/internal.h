/* Between the files of the daemon. It is put together in the order of the data's way, each part by the file that knows
 * it: what records (record.c), what learns (learning.c), alerts (alerting.c), sockets (sockets.c); about.c says how it
 * is. daemon.c has the order, and the way back. All of it runs on the main thread, but for the callbacks that say
 * otherwise. */
#ifndef OBS_OBSERVERD_INTERNAL_H
#define OBS_OBSERVERD_INTERNAL_H

#include "alerts/alerts.h"
#include "bridge/bridge.h"
#include "cluster/clusters.h"
#include "commit/commit.h"
#include "commit/ready.h"
#include "feed/feed.h"
#include "intake/bus.h"
#include "learn/learn.h"
#include "observerd/daemon.h"
#include "observerd/fleet.h"
#include "stream/task_threads.h"
#include "stream/tls.h"

#include <stdatomic.h>

struct obs_daemon {
  const obs_config *config;
  obs_access *access;
  obs_redact *redact; /* NULL: off */
  obs_state *state;
  obs_journal *journal; /* NULL: ephemeral */
  obs_sessions *sessions;
  obs_clusters *clusters;
  obs_graph *graph;
  obs_changes *changes;
  obs_learn *learn;
  obs_alerts *alerts;
  obs_notify *notify;
  obs_commit *commit;
  obs_fleet *fleet; /* NULL: it is alone */
  obs_bus *bus;
  obs_feed *feed;
  obs_bridge *bridge;
  obs_task_threads *task_threads;
  obs_buf open, plain; /* listeners with these risks, as JSON lists */
  obs_tls *tls;
  char *data_dir;           /* absolute; NULL: ephemeral */
  const char *journal_name; /* the configuration's */
  uint64_t started_ms;      /* monotonic */
  int64_t started_wall_ms;
  uint64_t settled;           /* ops that were answered when alerts looked last */
  _Atomic bool ready;         /* all URLs are bound */
  bool whole;                 /* every row was replayed */
  bool silent;                /* a listener did not serve when it was last asked */
  uint64_t cycle, logged_seq; /* the last seq that a cycle's line counted */
  uint64_t turns;             /* of the commit thread, when last looked at */
};

/* What a message and an op may be. */
obs_op_limits obs_daemon_limits(const obs_config *o);

/* ---- the parts; on failure `error` says why, if it is not just the code's own text ---- */

/* Access, state, the journal with its directory, redaction, session records. */
observer_err obs_daemon_open_record(obs_daemon *d, const obs_config *o, char *error, size_t size);
/* Clusters, the learning loops, changes, the graph. */
observer_err obs_daemon_open_learning(obs_daemon *d, const obs_config *o, char *error, size_t size);
/* After the recovery: what the state and the graph know is not new. */
void obs_daemon_know_names(obs_daemon *d);
/* Rules and those who are told. */
observer_err obs_daemon_open_alerts(obs_daemon *d, const obs_config *o, char *error, size_t size);
/* Before anything is made or read: what cannot be listened at ends the start, and leaves nothing behind. */
observer_err obs_daemon_check_binds(const obs_config *o, char *error, size_t size);
/* Bridge, bus and feed: an address in use ends the start before anything is taken. */
observer_err obs_daemon_open_sockets(obs_daemon *d, const obs_config *o, char *error, size_t size);
/* Where people who are told of an alert look further; when all listeners are bound. */
observer_err obs_daemon_set_public_url(obs_daemon *d, const obs_config *o);

/* ---- how the daemon is ---- */

/* A listener that does not serve; NULL: all do. Before all is bound, nothing is asked. Any thread. */
const char *obs_daemon_silent(void *daemon);
obs_ready_sources obs_daemon_ready(obs_daemon *d);
/* /health, /metrics and the feed's beat, as those want them. */
void obs_daemon_on_health(void *daemon, obs_buf *out);
void obs_daemon_on_metrics(void *daemon, bool open, obs_buf *out);
void obs_daemon_on_fleet_metrics(void *daemon, obs_merge *merge, bool open, obs_buf *out);
uint32_t obs_daemon_on_stats(void *daemon, obs_feed *feed, obs_buf *out);
/* URLs, risks, how to publish and to read, and `ready`, on stdout. */
void obs_daemon_say_ready(obs_daemon *d);

#endif
