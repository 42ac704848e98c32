#include "observerd/learn_feed.h"

#include "base/json.h"

void obs_learn_feed_cluster(obs_feed *feed, const obs_cluster_event *e) {
  obs_buf row = {0};
  obs_json_writer w = obs_json_write(&row);
  obs_json_object(&w, NULL);
  obs_json_id(&w, "id", e->id);
  obs_json_cstr(&w, "state", obs_cluster_state_names[e->state]);
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
  if (!row.oom) (void)obs_feed_event(feed, "failure.cluster", obs_buf_view(&row)); /* the feed counts what it drops */
  obs_buf_fini(&row);
}
