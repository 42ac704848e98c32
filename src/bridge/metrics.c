/* GET /metrics: text 0.0.4, or OpenMetrics 1.0 for who asks for that more than for plain text. */
#include "bridge/internal.h"

/* Which form is wanted; the answer says that it has it. */
static bool choose_form(obs_connection *s) {
  obs_str accept = s->http.head.accept;
  int wanted = obs_httpd_accepts(accept, "application/openmetrics-text");
  bool open = wanted > 0 && wanted >= obs_httpd_accepts(accept, "text/plain");
  s->http.answer.type =
      open ? "application/openmetrics-text; version=1.0.0; charset=utf-8" : "text/plain; version=0.0.4; charset=utf-8";
  return open;
}

void obs_bridge_get_metrics(obs_connection *s, const void *filter) {
  (void)filter;
  const obs_bridge_opts *o = &s->bridge->opts;
  if (o->metrics == NULL) {
    obs_answer_error(&s->http.answer, &s->http.out, 503, "there are no metrics here");
    return;
  }
  o->metrics(o->metrics_arg, choose_form(s), &s->http.out);
  if (s->http.out.oom) obs_answer_no_memory(&s->http.answer, &s->http.out);
}

void obs_bridge_get_fleet_metrics(obs_connection *s, const void *filter) {
  (void)filter;
  const obs_bridge_opts *o = &s->bridge->opts;
  if (o->fleet_hold != NULL && o->fleet_metrics == NULL) {
    obs_answer_error(&s->http.answer, &s->http.out, 503, "there are no metrics here");
    return;
  }
  obs_merge *m = obs_bridge_ask_fleet(s);
  if (m == NULL) return;
  o->fleet_metrics(o->metrics_arg, m, choose_form(s), &s->http.out);
  obs_merge_close(m);
  if (s->http.out.oom) obs_answer_no_memory(&s->http.answer, &s->http.out);
}
