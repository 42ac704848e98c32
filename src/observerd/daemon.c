#include "observerd/internal.h"

#include "base/clock.h"
#include "base/json.h"
#include "observerd/listeners.h"
#include "timeline/keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BRIDGE_STOP_MS = 3000, COMMIT_STOP_MS = 4000, FEED_STOP_MS = 500, BUS_CLOSE_MS = 500, FLEET_STOP_MS = 3000 };

obs_op_limits obs_daemon_limits(const obs_config *o) {
  return (obs_op_limits){.message_bytes = (uint32_t)o->message_bytes,
                         .message_ops = (uint32_t)o->message_ops,
                         .op_bytes = (uint32_t)o->op_bytes,
                         .string_bytes = (uint32_t)o->string_bytes,
                         .unknown_fields = (uint32_t)o->unknown_fields,
                         .depth = (uint32_t)o->depth};
}

/* ---- recovery ---- */

static void on_room(void *arg) {
  obs_daemon *d = arg;
  obs_bus_room(d->bus);
  obs_fleet_room(d->fleet);
}

static void on_recorded(void *arg, obs_batch *b, uint64_t first_seq, int64_t now_ms) {
  const obs_daemon *d = arg;
  (void)now_ms;
  obs_feed_recorded(d->feed, b, first_seq);
  obs_fleet_recorded(d->fleet);
}

static void on_confirm(void *arg, obs_batch *b) {
  const obs_daemon *d = arg;
  obs_fleet_confirm(d->fleet, b);
}

/* The commit stage, with all that follow it, as the checkpoint and the journal have them. */
static observer_err recover(obs_daemon *d, const obs_config *o, char *error, size_t size) {
  const char *dir = o->data_dir;
  /* The feed first: an op goes out before the cluster that begins with it. Then the clusters: they give each op of the
   * batch its cluster, which those behind them read. */
  uint32_t nfollowers = 6;
  obs_commit_follower followers[OBS_FOLLOWERS] = {
      {.name = "feed", .arg = d, .apply = on_recorded},
      {.name = "clusters",
       .version = OBS_CLUSTERS_VERSION,
       .arg = d->clusters,
       .apply = obs_clusters_apply,
       .apply_row = obs_clusters_apply_row,
       .save = obs_clusters_save,
       .load = obs_clusters_load,
       .former = OBS_CLUSTERS_FORMER,
       .load_former = obs_clusters_load_former},
      {.name = "alerts",
       .version = OBS_ENGINE_VERSION,
       .arg = d->alerts,
       .apply = obs_alerts_apply,
       .apply_row = obs_alerts_apply_row,
       .save = obs_alerts_save,
       .load = obs_alerts_load,
       .optional = true},
      {.name = "history",
       .version = OBS_STATE_HISTORY_VERSION,
       .arg = d->state,
       .save = obs_state_save_history,
       .load = obs_state_load_history},
      {.name = "graph",
       .version = OBS_GRAPH_VERSION,
       .arg = d->graph,
       .apply = obs_graph_apply,
       .apply_row = obs_graph_apply_row,
       .save = obs_graph_save,
       .load = obs_graph_load,
       .optional = true},
      {.name = "changes",
       .version = OBS_CHANGES_VERSION,
       .arg = d->changes,
       .apply = obs_changes_apply,
       .apply_row = obs_changes_apply_row,
       .save = obs_changes_save,
       .load = obs_changes_load,
       .optional = true},
  };
  obs_learn_followers(d->learn, followers, &nfollowers);
  if (d->journal != NULL)
    followers[nfollowers++] = (obs_commit_follower){.name = "keys", .arg = d->journal, .apply = obs_timeline_apply};
  const obs_record_kinds kinds = {{obs_sessions_kind(d->sessions)}, 1};
  const obs_commit_opts commit = {.journal = d->journal,
                                  .state = d->state,
                                  .kinds = &kinds,
                                  .redact = d->redact,
                                  .queue_bytes = o->queue_bytes,
                                  .checkpoint_s = (uint32_t)o->checkpoint_s,
                                  .room = on_room,
                                  .room_arg = d,
                                  .confirm = strcmp(o->ack, "stream") == 0 ? on_confirm : NULL,
                                  .confirm_arg = d,
                                  .followers = followers,
                                  .nfollowers = nfollowers};
  observer_err err = obs_commit_open(&commit, &d->commit);
  if (err != OBSERVER_E_OK) return err;

  obs_commit_recovered recovered;
  if ((err = obs_commit_recover(d->commit, &recovered)) != OBSERVER_E_OK) {
    if (err == OBSERVER_E_NEWER)
      snprintf(error, size, "%s/checkpoint: %s: start the newer observerd again, or give this one another --data-dir",
               dir, recovered.newer);
    return err;
  }
  d->whole = recovered.checkpoint_seq == 0;
  obs_daemon_know_names(d);
  if (d->journal != NULL)
    obs_log_info("observerd",
                 "journal %s: %" PRIu64 " ops in the checkpoint, %" PRIu64 " replayed, %" PRIu64 " bad rows%s", dir,
                 recovered.checkpoint_seq, recovered.replayed, recovered.bad_rows,
                 recovered.torn ? ", a torn last row cut off" : "");
  return OBSERVER_E_OK;
}

/* ---- construction: each stage gets those that were built before it ---- */

observer_err obs_daemon_open(const obs_config *o, obs_daemon **out, char *error, size_t error_size) {
  observer_err err = OBSERVER_E_NOMEM;
  obs_daemon *d = calloc(1, sizeof(*d));
  error[0] = '\0';
  *out = d;
  if (d == NULL) goto fail;
  d->config = o;
  if ((err = obs_daemon_check_binds(o, error, error_size)) != OBSERVER_E_OK) goto fail;
  if (!o->ephemeral) {
    err = OBSERVER_E_NOMEM;
    d->data_dir = obs_config_data_dir(o);
    d->journal_name = o->journal_name;
    if (d->data_dir == NULL) goto fail;
  }
  if ((err = obs_daemon_open_record(d, o, error, error_size)) != OBSERVER_E_OK) goto fail;
  if ((err = obs_daemon_open_learning(d, o, error, error_size)) != OBSERVER_E_OK) goto fail;
  if ((err = obs_daemon_open_alerts(d, o, error, error_size)) != OBSERVER_E_OK) goto fail;
  if ((err = recover(d, o, error, error_size)) == OBSERVER_E_OK) return OBSERVER_E_OK;
fail:
  if (error[0] == '\0') snprintf(error, error_size, "%s", observer_strerror(err));
  obs_daemon_stop(d);
  return err;
}

observer_err obs_daemon_start(obs_daemon *d, const obs_config *o, char *error, size_t error_size) {
  observer_err err;
  error[0] = '\0';
  d->started_ms = obs_clock_mono_ms();
  d->started_wall_ms = obs_clock_wall_ms();
  obs_listeners_json(o, OBS_LISTENER_OPEN, &d->open);
  obs_listeners_json(o, OBS_LISTENER_PLAIN, &d->plain);
  if (d->open.oom || d->plain.oom) {
    err = OBSERVER_E_NOMEM;
    goto fail;
  }
  obs_state_counts counts;
  obs_state_get_counts(d->state, &counts);
  d->logged_seq = counts.last_seq; /* what was replayed is told already */

  if ((err = obs_tls_open(o->tls_cert, o->tls_key, o->tls_ca, &d->tls)) != OBSERVER_E_OK) goto fail;

  const obs_op_limits limits = obs_daemon_limits(o);
  if ((err = obs_fleet_open(o, &limits, d->journal, d->commit, &d->fleet, error, error_size)) != OBSERVER_E_OK)
    goto fail;

  /* Sockets before threads. */
  if ((err = obs_daemon_open_sockets(d, o, error, error_size)) != OBSERVER_E_OK) goto fail;
  if (o->leader == NULL && /* the process has them once */
      (err = obs_task_threads_open(obs_task_threads_enough(), &d->task_threads)) != OBSERVER_E_OK)
    goto fail;

  /* From the end of the data's way to its beginning. */
  if ((err = obs_feed_start(d->feed)) != OBSERVER_E_OK) goto fail;
  if ((err = obs_commit_start(d->commit)) != OBSERVER_E_OK) goto fail;
  if ((err = obs_fleet_start(d->fleet)) != OBSERVER_E_OK) goto fail;
  if ((err = obs_learn_start(d->learn, d->commit)) != OBSERVER_E_OK) goto fail;
  if ((err = obs_alerts_start(d->alerts, d->whole)) != OBSERVER_E_OK) goto fail;
  if ((err = obs_bridge_start(d->bridge, error, error_size)) != OBSERVER_E_OK) goto fail;
  obs_fleet_tend_answers(d->fleet);
  if ((err = obs_daemon_set_public_url(d, o)) != OBSERVER_E_OK) goto fail;
  if ((err = obs_notify_start(d->notify)) != OBSERVER_E_OK) goto fail;
  atomic_store(&d->ready, true);
  obs_bus_start(d->bus);
  if ((err = obs_fleet_start_intake(d->fleet)) != OBSERVER_E_OK) goto fail;
  if (o->leader == NULL) obs_daemon_say_ready(d);
  return OBSERVER_E_OK;
fail:
  if (error[0] == '\0') snprintf(error, error_size, "%s", observer_strerror(err));
  obs_daemon_stop(d);
  return err;
}

/* ---- running and stopping ---- */

/* Whether each listener still serves, as the last cycle's probe found; and the next one. */
static void probe_listeners(obs_daemon *d) {
  const char *silent = obs_daemon_silent(d);
  if (silent != NULL && !d->silent) obs_log_error("observerd", "not ready: %s is not serving", silent);
  if (silent == NULL && d->silent) obs_log_info("observerd", "every listener serves again");
  d->silent = silent != NULL;
  obs_bus_probe(d->bus);
  obs_feed_probe(d->feed);
  obs_bridge_probe(d->bridge);
}

/* The line is the older observer's, which wrote it each cycle. It comes only when something was recorded. */
static void log_cycle(obs_daemon *d) {
  obs_state_counts c;
  char message[48];
  obs_buf row = {0};
  obs_state_get_counts(d->state, &c);
  if (c.last_seq == d->logged_seq) return;
  d->logged_seq = c.last_seq;
  obs_json_writer w = obs_json_write(&row);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "cycle", d->cycle);
  obs_json_u64(&w, "total_ops", c.ring);
  obs_json_u64(&w, "successes", c.ring_successes);
  obs_json_u64(&w, "failures", c.ring_failures);
  obs_json_u64(&w, "scenario_ops", c.scenario);
  obs_json_u64(&w, "langfuse_ops", c.langfuse);
  obs_json_u64(&w, "overseer_corrections", c.corrections);
  obs_json_end(&w);
  (void)snprintf(message, sizeof(message), "[observer] cycle %" PRIu64, d->cycle);
  if (!row.oom) obs_log_members("observerd", message, obs_buf_view(&row));
  obs_buf_fini(&row);
}

void obs_daemon_cycle(obs_daemon *d) {
  probe_listeners(d);
  /* The journal does not say that a cluster was resolved: the checkpoint does. */
  if (obs_clusters_cycle(d->clusters, obs_clock_receipt_ms()) > 0) obs_commit_checkpoint(d->commit);
  d->cycle++;
  if (d->config->leader == NULL) log_cycle(d);
  obs_learn_cycle(d->learn);
}

void obs_daemon_tick(obs_daemon *d, bool reload) {
  if (reload) obs_fleet_reload(d->fleet);
  obs_fleet_tend_answers(d->fleet);
  obs_access_tick(d->access, reload);
  if (reload && d->config->rules != NULL)
    obs_access_audit(d->access, obs_alerts_reload(d->alerts) ? "rules_reload" : "rules_refused", NULL, NULL);
  switch (obs_tls_tick(d->tls, reload)) { /* it logs and counts what changes */
  case OBS_TLS_RELOADED:
    obs_access_audit(d->access, "tls_reload", NULL, NULL);
    break;
  case OBS_TLS_REFUSED:
    obs_access_audit(d->access, "tls_refused", NULL, NULL);
    break;
  case OBS_TLS_UNCHANGED:
    break;
  }
}

bool obs_daemon_is_alive(obs_daemon *d) {
  uint64_t turns = obs_commit_turns(d->commit), before = d->turns;
  d->turns = turns;
  return turns != before;
}

void obs_daemon_reopen(obs_daemon *d) {
  obs_commit_look(d->commit);
}

void obs_daemon_stop(obs_daemon *d) {
  if (d == NULL) return;
  obs_fleet_begin_stop(d->fleet);
  obs_task_threads_close(d->task_threads); /* so that a stop finds them all */
  if (d->bus != NULL) obs_bus_stop_intake(d->bus);
  obs_fleet_stop_intake(d->fleet);
  obs_fleet_end_answers(d->fleet);
  if (d->bridge != NULL) obs_bridge_stop(d->bridge, BRIDGE_STOP_MS); /* the commit still answers posts that wait */
  if (d->alerts != NULL) obs_alerts_stop(d->alerts);
  if (d->notify != NULL) obs_notify_stop(d->notify);
  if (d->learn != NULL) obs_learn_stop(d->learn);                    /* and takes the last corrections */
  if (d->commit != NULL) obs_commit_stop(d->commit, COMMIT_STOP_MS); /* drains, syncs, writes the checkpoint */
  obs_fleet_stop(d->fleet, FLEET_STOP_MS);                           /* forwards what was recorded last */
  if (d->feed != NULL) obs_feed_stop(d->feed, FEED_STOP_MS);         /* sends what was recorded last */
  obs_bridge_close(d->bridge);
  obs_fleet_close(d->fleet);
  obs_commit_close(d->commit);
  obs_learn_close(d->learn);
  obs_alerts_close(d->alerts);
  obs_notify_close(d->notify);
  obs_clusters_close(d->clusters);
  obs_graph_close(d->graph);
  obs_changes_close(d->changes);
  obs_sessions_close(d->sessions);
  obs_journal_close(d->journal);
  obs_feed_close(d->feed);
  obs_state_close(d->state);
  obs_bus_close(d->bus, BUS_CLOSE_MS);
  obs_access_close(d->access);
  obs_buf_fini(&d->open);
  obs_buf_fini(&d->plain);
  obs_tls_close(d->tls);
  if (d->config->leader == NULL) obs_log_set_filter(NULL, NULL);
  obs_redact_close(d->redact);
  free(d->data_dir);
  free(d);
}
