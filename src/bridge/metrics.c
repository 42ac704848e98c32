/* GET /metrics: text 0.0.4, or OpenMetrics 1.0 for who asks for that more than for plain text. */
#include "bridge/internal.h"

void obs_bridge_get_metrics(obs_connection *s, const void *filter) {
  (void)filter;
  const obs_bridge_opts *o = &s->bridge->opts;
  if (o->metrics == NULL) {
    obs_answer_error(&s->http.answer, &s->http.out, 503, "there are no metrics here");
    return;
  }
  obs_str accept = s->http.head.accept;
  int wanted = obs_httpd_accepts(accept, "application/openmetrics-text");
  bool open = wanted > 0 && wanted >= obs_httpd_accepts(accept, "text/plain");
  o->metrics(o->metrics_arg, open, &s->http.out);
  if (s->http.out.oom) {
    obs_answer_no_memory(&s->http.answer, &s->http.out);
    return;
  }
  s->http.answer.type =
      open ? "application/openmetrics-text; version=1.0.0; charset=utf-8" : "text/plain; version=0.0.4; charset=utf-8";
}
