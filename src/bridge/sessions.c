/* GET sessions and sessions/stats. POST session is event.c's: what differs from an op's is in the batch. */
#include "sessions/sessions.h"

#include "bridge/filter.h"
#include "bridge/handlers.h"

#include <stddef.h>

static const char *set_grounded(obs_sessions_filter *f, obs_str v) {
  bool grounded = false;
  const char *wrong = obs_param_bool(v, &grounded);
  f->grounded = grounded;
  return wrong;
}
static const char *set_since(obs_sessions_filter *f, obs_str v) {
  return obs_param_time(v, &f->since_ms);
}
static const char *set_until(obs_sessions_filter *f, obs_str v) {
  return obs_param_time(v, &f->until_ms);
}
static const char *set_limit(obs_sessions_filter *f, obs_str v) {
  return obs_param_limit(v, &f->limit);
}
static const char *set_cursor(obs_sessions_filter *f, obs_str v) {
  return obs_param_cursor(v, &f->before);
}

/* A parameter is a text to compare, or has its own rule (NULL: what is wrong otherwise). */
static const struct {
  const char *name;
  size_t text; /* where the filter has it */
  const char *(*set)(obs_sessions_filter *f, obs_str v);
} params[] = {
    {"kind", offsetof(obs_sessions_filter, kind), NULL},
    {"model", offsetof(obs_sessions_filter, model), NULL},
    {"provider", offsetof(obs_sessions_filter, provider), NULL},
    {"final_verdict", offsetof(obs_sessions_filter, final_verdict), NULL},
    {"grounded", 0, set_grounded},
    {"since", 0, set_since},
    {"until", 0, set_until},
    {"limit", 0, set_limit},
    {"cursor", 0, set_cursor},
};

static const char *set_param(void *filter, obs_str name, obs_str value) {
  for (size_t i = 0; i < sizeof params / sizeof params[0]; i++) {
    if (strlen(params[i].name) != name.len || memcmp(params[i].name, name.p, name.len) != 0) continue;
    if (params[i].set != NULL) return params[i].set(filter, value);
    memcpy((char *)filter + params[i].text, &value, sizeof value);
    return NULL;
  }
  return "unknown parameter";
}

static bool parse_filter(obs_sessions_filter *f, const obs_query *q, char *error, size_t size) {
  *f = (obs_sessions_filter){.grounded = -1, .since_ms = INT64_MIN, .until_ms = INT64_MAX, .limit = OBS_OPS_LIMIT};
  return obs_params_take(q, set_param, f, error, size);
}

bool obs_have_sessions(obs_connection *s) {
  if (s->bridge->opts.sessions != NULL) return true;
  obs_answer_error(&s->answer, &s->out, 503, "sessions are not recorded here");
  return false;
}

static void answer_page(obs_connection *s, const obs_sessions_filter *filter) {
  uint64_t next;
  bool complete;
  obs_buf_puts(&s->out, "{\"sessions\":");
  if (obs_sessions_page(s->bridge->opts.sessions, filter, &s->out, &next, &complete) != OBSERVER_E_OK) {
    obs_answer_error(&s->answer, &s->out, 500, "sessions: the file could not be read");
    return;
  }
  char cursor[OBS_CURSOR_LEN + 1];
  obs_cursor_format(next, cursor);
  obs_buf_puts(&s->out, ",\"next_cursor\":");
  obs_buf_printf(&s->out, next != 0 ? "\"%s\"" : "null", cursor);
  obs_buf_printf(&s->out, ",\"complete\":%s}", complete ? "true" : "false");
}

void obs_work_sessions(obs_connection *s, obs_batch *rows) {
  (void)rows;
  char error[160];
  obs_query query;
  obs_sessions_filter filter;
  if (!obs_have_sessions(s)) return;
  if (obs_query_parse(&query, s->request.query, error, sizeof error) &&
      parse_filter(&filter, &query, error, sizeof error))
    answer_page(s, &filter);
  else
    obs_answer_error(&s->answer, &s->out, 400, "%s", error);
  obs_query_fini(&query);
}

bool obs_handle_sessions_stats(obs_connection *s) {
  if (obs_have_sessions(s)) obs_sessions_stats_json(s->bridge->opts.sessions, &s->out);
  return true;
}
