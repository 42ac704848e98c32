#include "base/json.h"
#include "observerd/internal.h"
#include "observerd/leader.h"

#include <stdlib.h>

/* ---- what is found out goes to the feed ---- */

/* A cluster is new, has regressed, or spreads. Nothing is recorded before the feed is there. */
static void on_cluster(void *arg, const obs_cluster_event *e) {
  const obs_daemon *d = arg;
  obs_buf row = {0};
  obs_json_writer w = obs_json_write(&row);
  obs_json_object(&w, NULL);
  obs_json_id(&w, "id", e->id);
  obs_json_cstr(&w, "state", obs_cluster_event_names[e->kind]);
  obs_json_text_if(&w, "template", e->template);
  obs_json_u64(&w, "count", e->count);
  obs_json_time(&w, "first_seen", e->first_ms);
  obs_json_time(&w, "last_seen", e->last_ms);
  obs_json_u64(&w, "op_seq", e->op_seq);
  obs_json_text_if(&w, "endpoint", e->endpoint);
  obs_json_text_if(&w, "source", e->source);
  obs_json_text_if(&w, "sig_hash", e->sig_hash);
  obs_json_text_if(&w, "event_kind", e->event_kind);
  obs_json_text_if(&w, "task_class", e->task_class);
  obs_json_u64(&w, "missed", e->missed);
  obs_json_end(&w);
  if (!row.oom)
    (void)obs_feed_event(d->feed, "failure.cluster", obs_buf_view(&row)); /* the feed counts what it drops */
  obs_buf_fini(&row);
  obs_learn_stir(d->learn);
}

/* The same holds for what the loops find out: they start after the feed. */
static void on_learned(void *arg, const char *topic, obs_str row) {
  const obs_daemon *d = arg;
  observer_err err = obs_feed_publish_row(d->feed, topic, row);
  if (err != OBSERVER_E_OK) obs_log_warn("observerd", "feed: %s is not sent: %s", topic, observer_strerror(err));
}

/* ---- the stages ---- */

observer_err obs_daemon_open_learning(obs_daemon *d, const obs_config *o, char *error, size_t size) {
  const char *dir = o->ephemeral ? NULL : o->data_dir;
  bool openai = o->llm == OBS_CONFIG_LLM_OPENAI, tells = obs_config_tells(o);
  observer_err err;

  const obs_clusters_opts clusters = {
      .clusters = (uint32_t)o->clusters, .quiet = (uint32_t)o->cluster_quiet, .event = on_cluster, .event_arg = d};
  if ((err = obs_clusters_open(&clusters, &d->clusters)) != OBSERVER_E_OK) return err;

  const obs_learn_opts learn = {
      .dir = dir,
      .state = d->state,
      .journal = d->journal,
      .clusters = d->clusters,
      .limits = obs_daemon_limits(o),
      .corrections_path = o->corrections_path,
      .gateway_url = tells ? o->gateway_url : NULL,
      .team_url = tells ? o->team_url : NULL,
      .model = {.kind = openai ? OBS_LLM_OPENAI : OBS_LLM_LAKEHOUSE,
                .url = tells ? o->llm_url : NULL,
                .model = o->model,
                .key = openai ? getenv("OPENAI_API_KEY") : NULL,
                .key_file = openai ? o->openai_key_file : NULL,
                .timeout_ms = (uint32_t)o->llm_timeout_s * 1000},
      .calls = {.calls_per_hour = o->llm_calls_per_hour,
                .tokens_per_day = o->llm_tokens_per_day,
                .redact = d->redact,
                .admit = o->leader != NULL ? obs_leader_admit : NULL,
                .admit_arg = o->leader},
      .escalate_failures = (uint32_t)o->escalate_failures,
      .escalate_window_s = (uint32_t)o->escalate_window_s,
      .escalate_cooldown_s = (uint32_t)o->escalate_cooldown_s,
      .escalate_per_hour = (uint32_t)o->escalate_per_hour,
      .playbook_cycles = (uint32_t)o->playbook_cycles,
      .advice_holdout = o->holdout,
      .announce = {on_learned, d},
  };
  if ((err = obs_learn_open(&learn, &d->learn, error, size)) != OBSERVER_E_OK) return err;

  const obs_changes_opts changes = {.clusters = d->clusters,
                                    .playbooks = obs_learn_loop(d->learn, &obs_playbooks_loop)};
  if ((err = obs_changes_open(&changes, &d->changes)) != OBSERVER_E_OK) return err;
  const obs_graph_opts graph = {.fresh = obs_changes_note, .fresh_arg = d->changes};
  return obs_graph_open(&graph, &d->graph);
}

/* ---- names that the state and the graph know are not seen for the first time ---- */

static void know_edge(void *changes, const obs_graph_edge *e) {
  obs_changes_know(changes, OBS_CHANGES_OF_ENDPOINT, e->endpoint);
  obs_changes_know(changes, OBS_CHANGES_OF_SOURCE, e->source);
  obs_changes_know(changes, OBS_CHANGES_OF_STAFFER, e->staffer_id);
}

static void know_source(void *changes, obs_str name, uint64_t ops, uint64_t failures) {
  (void)ops;
  (void)failures;
  obs_changes_know(changes, OBS_CHANGES_OF_SOURCE, name);
}

static void know_endpoint(void *changes, const obs_state_endpoint *e) {
  obs_changes_know(changes, OBS_CHANGES_OF_ENDPOINT, e->name);
}

/* A checkpoint may lack the part of the changes. */
void obs_daemon_know_names(obs_daemon *d) {
  obs_graph_names(d->graph, know_edge, d->changes);
  obs_state_sources(d->state, know_source, d->changes);
  obs_state_endpoint_totals(d->state, know_endpoint, d->changes);
}
