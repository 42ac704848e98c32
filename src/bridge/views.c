/* The views that cost microseconds: answered on NNG's thread. */
#include "base/clock.h"
#include "bridge/handlers.h"

#include <inttypes.h>

/* Per transport: received = recorded + duplicate + rejected + in_flight, in ops and session records. */
static void list_transports(obs_connection *s) {
  obs_buf_puts(&s->out, ",\"transports\":{");
  for (obs_transport t = 0; t < OBS_TRANSPORT_COUNT; t++) {
    obs_commit_counts n;
    obs_commit_get_counts(s->bridge->opts.commit, t, &n);
    obs_buf_printf(&s->out,
                   "%s\"%s\":{\"received\":%" PRIu64 ",\"recorded\":%" PRIu64 ",\"duplicate\":%" PRIu64
                   ",\"rejected\":%" PRIu64 ",\"in_flight\":%" PRIu64 "}",
                   t > 0 ? "," : "", obs_transport_names[t], n.received, n.recorded, n.duplicate, n.rejected,
                   n.in_flight);
  }
  obs_buf_putc(&s->out, '}');
}

bool obs_handle_health(obs_connection *s) {
  const obs_bridge *b = s->bridge;
  obs_state_counts counts;
  obs_state_get_counts(b->opts.state, &counts);
  obs_buf_printf(&s->out, "{\"status\":\"ok\",\"ops_in_ring\":%" PRIu32 ",\"version\":", counts.ring);
  obs_buf_json_cstr(&s->out, b->opts.version);
  obs_buf_printf(&s->out, ",\"seq\":%" PRIu64 ",\"sessions\":%" PRIu64 ",\"uptime_s\":%" PRIu64, counts.last_seq,
                 obs_sessions_total(b->opts.sessions), (obs_clock_mono_ms() - b->started_ms) / 1000);
  list_transports(s);
  if (b->opts.describe != NULL) b->opts.describe(b->opts.describe_arg, &s->out);
  obs_buf_putc(&s->out, '}');
  return true;
}

bool obs_handle_stats(obs_connection *s) {
  obs_state_stats_json(s->bridge->opts.state, s->family == OBS_FAMILY_ROOT, &s->out);
  return true;
}

bool obs_handle_livez(obs_connection *s) {
  obs_buf_puts(&s->out, "{\"status\":\"ok\"}");
  return true;
}

bool obs_handle_readyz(obs_connection *s) {
  char why[256];
  if (obs_commit_health(s->bridge->opts.commit, why, sizeof why) == OBSERVER_E_OK) {
    obs_buf_puts(&s->out, "{\"status\":\"ready\"}");
    return true;
  }
  obs_answer_fail(&s->answer, 503);
  obs_buf_puts(&s->out, "{\"status\":\"not ready\",\"reasons\":[");
  obs_buf_json_cstr(&s->out, why);
  obs_buf_puts(&s->out, "]}");
  return true;
}
