/* What the bridge's own files share: the bridge, what the routes do and their parameters. */
#ifndef OBS_BRIDGE_INTERNAL_H
#define OBS_BRIDGE_INTERNAL_H

#include "base/json.h"
#include "bridge/bridge.h"
#include "bridge/connection.h"
#include "bridge/gate.h"
#include "bridge/guard.h"
#include "bridge/requests.h"

#include <nng/nng.h>
#include <pthread.h>

enum { OBS_BRIDGE_BATCHES_KEPT = 64 /* for reuse */ };

typedef struct {
  obs_address address;
  char url[OBS_ADDRESS_MAX]; /* with the real port */
} obs_bridge_listener;

struct obs_bridge {
  obs_bridge_opts opts;
  obs_bridge_listener *listeners;
  size_t nlisteners;
  obs_httpd *httpd;
  obs_guard *guard;
  obs_requests *requests;
  obs_worker *workers[OBS_ROUTE_THREADS];
  bool stopped;
  uint64_t boot;         /* a number of this run */
  struct obs_kept *kept; /* of obs:fleet */

  pthread_mutex_t mutex;
  obs_batch *batches;
  uint32_t nbatches;
  struct obs_waiter *waiters, *spare_waiters; /* all of them; those that nobody uses */
  bool waits_ended;
};

/* ---- what the routes do (route.h says when each kind is called) ---- */

/* views.c */
bool obs_bridge_get_health(obs_connection *s, const void *filter);
bool obs_bridge_get_stats(obs_connection *s, const void *filter);
bool obs_bridge_get_livez(obs_connection *s, const void *filter);
bool obs_bridge_get_readyz(obs_connection *s, const void *filter);
bool obs_bridge_get_sessions_stats(obs_connection *s, const void *filter);
bool obs_bridge_get_advice(obs_connection *s, const void *filter);
void obs_bridge_get_summary(obs_connection *s, const void *filter);
void obs_bridge_get_clusters(obs_connection *s, const void *filter);
void obs_bridge_get_cluster(obs_connection *s, const void *filter);
void obs_bridge_get_repeats(obs_connection *s, const void *filter);
/* Any loop's list, and one of its rows. */
void obs_bridge_get_page(obs_connection *s, const void *filter);
void obs_bridge_get_one(obs_connection *s, const void *filter);
extern const obs_params obs_bridge_summary_params, obs_bridge_advice_params, obs_bridge_clusters_params,
    obs_bridge_repeats_params, obs_bridge_analyses_params, obs_bridge_playbooks_params, obs_bridge_escalations_params;

/* fleet.c */
/* The fleet as it is now, as its workers say; NULL: answered. */
obs_merge *obs_bridge_ask_fleet(obs_connection *s);
void obs_bridge_get_fleet(obs_connection *s, const void *filter);
void obs_bridge_get_fleet_stats(obs_connection *s, const void *filter);
void obs_bridge_get_fleet_summary(obs_connection *s, const void *filter);
void obs_bridge_get_fleet_clusters(obs_connection *s, const void *filter);
void obs_bridge_get_fleet_ops(obs_connection *s, const void *filter);
void obs_bridge_get_fleet_op(obs_connection *s, const void *filter);
void obs_bridge_get_fleet_sessions(obs_connection *s, const void *filter);
void obs_bridge_get_fleet_timeline(obs_connection *s, const void *filter);
void obs_bridge_get_fleet_trajectory(obs_connection *s, const void *filter);
/* Asks all edges for the route's own path; each answer goes to `take` (rows.h). NULL: answered. */
obs_fleet_rows *obs_bridge_ask_edges(obs_connection *s, const char *list,
                                     void (*take)(void *rows, const obs_fleet_reply *reply));
/* Whatever the route is about: the leader's answer. */
void obs_bridge_ask_leader(obs_connection *s, const void *filter);

/* alerts.c */
void obs_bridge_get_alerts(obs_connection *s, const void *filter);
void obs_bridge_get_rules(obs_connection *s, const void *filter);
extern const obs_params obs_bridge_alerts_params;

/* False, and answered: the cursor is another list's, or of another order. */
bool obs_bridge_is_own_walk(obs_connection *s, const obs_page *page, uint32_t order);

/* watch.c */
void obs_bridge_get_live(obs_connection *s, const void *filter);
void obs_bridge_get_history(obs_connection *s, const void *filter);
void obs_bridge_get_graph(obs_connection *s, const void *filter);
void obs_bridge_get_changes(obs_connection *s, const void *filter);
extern const obs_params obs_bridge_live_params, obs_bridge_history_params, obs_bridge_graph_params,
    obs_bridge_changes_params;

/* metrics.c */
void obs_bridge_get_metrics(obs_connection *s, const void *filter);
void obs_bridge_get_fleet_metrics(obs_connection *s, const void *filter);

/* scan.c */
void obs_bridge_get_ops(obs_connection *s, const void *filter);
void obs_bridge_get_op(obs_connection *s, const void *filter);
void obs_bridge_get_sessions(obs_connection *s, const void *filter);
extern const obs_params obs_bridge_ops_params, obs_bridge_sessions_params;
/* The end of a page's object: how many rows match, where that is known, the next page's cursor, of a walk or of a
 * number, and whether the page is as long as it may be. */
void obs_bridge_put_end(obs_json_writer *w, const obs_page_end *end, bool walked);

/* timeline.c */
void obs_bridge_get_timeline(obs_connection *s, const void *filter);
void obs_bridge_get_trajectory(obs_connection *s, const void *filter);
extern const obs_params obs_bridge_timeline_params, obs_bridge_trajectory_params;

/* page.c */
bool obs_bridge_get_root(obs_connection *s, const void *filter);
bool obs_bridge_get_asset(obs_connection *s, const void *filter);
bool obs_bridge_get_openapi(obs_connection *s, const void *filter);

/* key.c */
bool obs_bridge_get_key(obs_connection *s, const void *filter);
extern const obs_params obs_bridge_key_params;

/* silences.c */
void obs_bridge_get_silences(obs_connection *s, const void *filter);
void obs_bridge_post_silence(obs_connection *s, const void *filter);
void obs_bridge_delete_silence(obs_connection *s, const void *filter);
extern const obs_params obs_bridge_silences_params;

/* post.c */
bool obs_bridge_post_event(obs_connection *s, const void *filter);
bool obs_bridge_post_session(obs_connection *s, const void *filter);
void obs_bridge_finish_post(obs_connection *s);

/* review.c */
void obs_bridge_post_review(obs_connection *s, const void *filter);
void obs_bridge_finish_review(obs_connection *s);
bool obs_bridge_get_review(obs_connection *s, const void *filter);

#endif
