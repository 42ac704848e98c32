/* Views of the whole fleet, `?scope=cluster`: those of one daemon, printed from what its workers say. On `obs:fleet`.
 */
#include "base/clock.h"
#include "bridge/internal.h"
#include "cluster/cluster_json.h"
#include "fleet/query.h"

static void answer_alone(obs_connection *s) {
  obs_answer_error(&s->http.answer, &s->http.out, 400,
                   "scope: this daemon belongs to no fleet (it has neither --forward nor --jetstream)");
}

/* Who is in it, and how they are. While NATS is away: what this daemon knows. */
void obs_bridge_get_fleet(obs_connection *s, const void *filter) {
  const obs_bridge_opts *o = &s->bridge->opts;
  obs_fleet_picture picture;
  (void)filter;
  if (o->fleet == NULL) {
    answer_alone(s);
    return;
  }
  o->picture(o->fleet_arg, &picture);
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  obs_fleet_picture_put(&picture, &w);
  obs_json_end(&w);
  obs_fleet_picture_fini(&picture);
  if (s->http.out.oom) obs_answer_no_memory(&s->http.answer, &s->http.out);
}

/* The fleet as it is now; NULL: answered. */
static obs_merge *ask(obs_connection *s) {
  const obs_bridge_opts *o = &s->bridge->opts;
  char error[256] = "";
  obs_merge *m = NULL;
  obs_fleet_query *fleet = o->fleet != NULL ? o->fleet(o->fleet_arg) : NULL;
  if (o->fleet == NULL)
    answer_alone(s);
  else if (fleet == NULL)
    obs_answer_error(&s->http.answer, &s->http.out, 503, "the fleet cannot be asked: NATS refuses this daemon");
  else if (obs_fleet_query_ask(fleet, o->fleet_ring, &m, error, sizeof error) != OBSERVER_E_OK)
    obs_answer_error(&s->http.answer, &s->http.out, 503, "the fleet cannot be asked: %s", error);
  return m;
}

/* Behind the view's own members. */
static void end(obs_connection *s, const obs_merge *m, obs_json_writer *w) {
  obs_merge_put_cluster(m, obs_clock_wall_ms(), w);
  obs_json_end(w);
  if (s->http.out.oom) obs_answer_no_memory(&s->http.answer, &s->http.out);
}

void obs_bridge_get_fleet_stats(obs_connection *s, const void *filter) {
  (void)filter;
  obs_merge *m = ask(s);
  if (m == NULL) return;
  obs_buf *out = &s->http.out;
  obs_state_stats_json(obs_merge_state(m), s->family == OBS_FAMILY_ROOT, out);
  if (!out->oom) out->len--; /* the object goes on */
  obs_json_writer w = obs_json_write_members(out);
  end(s, m, &w);
  obs_merge_close(m);
}

void obs_bridge_get_fleet_summary(obs_connection *s, const void *filter) {
  (void)filter;
  obs_merge *m = ask(s);
  if (m == NULL) return;
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  obs_state_put_summary(obs_merge_state(m), obs_clock_receipt_ms(), &w);
  end(s, m, &w);
  obs_merge_close(m);
}

/* Each answer puts the fleet together anew, so there is no order that a cursor could go on in: one page. */
void obs_bridge_get_fleet_clusters(obs_connection *s, const void *filter) {
  const obs_clusters_filter *f = filter;
  obs_page_end last;
  if (f->page.walk.through != 0) {
    obs_answer_error(&s->http.answer, &s->http.out, 400, "cursor: there is none with scope=cluster; use limit");
    return;
  }
  obs_merge *m = ask(s);
  if (m == NULL) return;
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  observer_err err = obs_bridge_put_clusters(obs_merge_clusters(m), f, &w, &last);
  if (err != OBSERVER_E_OK)
    obs_answer_no_memory(&s->http.answer, &s->http.out);
  else {
    if (last.counted) obs_json_u64(&w, "total", last.total);
    obs_json_null(&w, "next_cursor");
    obs_json_bool(&w, "complete", last.complete && !last.more);
    end(s, m, &w);
  }
  obs_merge_close(m);
}
