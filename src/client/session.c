#include "base/buf.h"
#include "base/utf8.h"
#include "client/mp.h"

#include <observer/session.h>
#include <stdio.h>
#include <time.h>

enum { PROMPT_BYTES = 4000, ERROR_BYTES = 800, WHOLE = 0 };

/* What the three outcomes differ in. */
typedef struct {
  const char *verdict;
  int64_t iterations;
  const observer_attempt *attempts;
  size_t nattempts;
  const void *artifact; /* NULL: none */
  size_t artifact_len;
  observer_bool grounded;
} outcome;

/* ---- msgpack: memory that ran out shows in out->oom ---- */

static bool is_empty(const char *s) {
  return s == NULL || *s == '\0';
}

/* The first `most` bytes of a text at most (WHOLE: all of it), cut at a character's end. Bytes that are no UTF-8 become
 * U+FFFD, as they did in the validator's own log: a model's output may hold any. NULL is "". */
static void put_text(obs_buf *out, const char *s, size_t most) {
  obs_buf good = {0};
  size_t n = s == NULL ? 0 : strlen(s), end = most;
  if (most != WHOLE && n > most) {
    while (end > 0 && most - end < 4 && ((unsigned char)s[end] & 0xc0) == 0x80) end--;
    n = obs_utf8_char(s + end, n - end) > most - end ? end : most;
  }
  if (!obs_utf8_valid(s, n)) {
    for (size_t i = 0; i < n;) {
      size_t c = obs_utf8_char(s + i, n - i);
      obs_buf_append(&good, c != 0 ? s + i : "\xef\xbf\xbd", c != 0 ? c : 3);
      i += c != 0 ? c : 1;
    }
    out->oom |= good.oom;
    s = good.p;
    n = good.len;
  }
  if (!out->oom && obs_buf_reserve(out, n + OBS_MP_HEAD_MAX))
    out->len = (size_t)(obs_mp_str(out->p + out->len, n > 0 ? s : "", n) - out->p);
  obs_buf_fini(&good);
}

static void put_text_field(obs_buf *out, const char *name, const char *value, size_t most) {
  put_text(out, name, WHOLE);
  put_text(out, value, most);
}

static void put_int_field(obs_buf *out, const char *name, int64_t value) {
  put_text(out, name, WHOLE);
  if (obs_buf_reserve(out, OBS_MP_HEAD_MAX)) out->len = (size_t)(obs_mp_int(out->p + out->len, value) - out->p);
}

static void put_map(obs_buf *out, uint32_t n) {
  if (obs_buf_reserve(out, OBS_MP_HEAD_MAX)) out->len = (size_t)(obs_mp_map(out->p + out->len, n) - out->p);
}

/* ---- the record ---- */

/* The record's members are in the order of OBSERVER_SESSION_FIELDS. It is packed once: a message that is sent again is
 * the same bytes. */
static void publish(observer_client *client, const observer_session *s, const outcome *o, size_t error_most) {
  enum { ALWAYS = 13 };
  obs_buf out = {0};
  /* RFC 3339 with nanoseconds: the daemon takes rows of the same bytes for one that was sent twice. */
  struct timespec now;
  struct tm tm;
  char seconds[32], stamp[48];
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &tm);
  strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm);
  snprintf(stamp, sizeof(stamp), "%s.%09ldZ", seconds, now.tv_nsec);

  put_map(&out, ALWAYS + (o->artifact != NULL) + (o->grounded != OBSERVER_UNSET));
  put_text_field(&out, "schema", OBSERVER_SESSION_SCHEMA, WHOLE);
  put_text_field(&out, "session_id", is_empty(s->session_id) ? s->trace_id : s->session_id, WHOLE);
  put_text_field(&out, "timestamp", is_empty(s->timestamp) ? stamp : s->timestamp, WHOLE);
  put_text_field(&out, "daemon", is_empty(s->daemon) ? "validatord" : s->daemon, WHOLE);
  put_text_field(&out, "kind", s->kind, WHOLE);
  put_text_field(&out, "model", s->model, WHOLE);
  put_text_field(&out, "provider", s->provider, WHOLE);
  put_text_field(&out, "prompt", s->prompt, PROMPT_BYTES);
  put_int_field(&out, "iterations", o->iterations);
  put_int_field(&out, "max_iterations", s->max_iterations);
  put_text_field(&out, "final_verdict", o->verdict, WHOLE);
  put_text(&out, "attempts", WHOLE);
  if (obs_buf_reserve(&out, OBS_MP_ARRAY_HEAD))
    out.len = (size_t)(obs_mp_array32(out.p + out.len, (uint32_t)o->nattempts) - out.p);
  for (size_t i = 0; i < o->nattempts; i++) {
    const observer_attempt *a = &o->attempts[i];
    put_map(&out, 2u + !is_empty(a->error) + !is_empty(a->span_id));
    put_int_field(&out, "iteration", a->iteration);
    put_text_field(&out, "verdict_kind", a->verdict_kind, WHOLE);
    if (!is_empty(a->error)) put_text_field(&out, "error", a->error, error_most);
    if (!is_empty(a->span_id)) put_text_field(&out, "span_id", a->span_id, WHOLE);
  }
  if (o->artifact != NULL) {
    put_text(&out, "artifact", WHOLE);
    obs_buf_append(&out, o->artifact, o->artifact_len);
  }
  if (o->grounded != OBSERVER_UNSET) {
    put_text(&out, "grounded_in_roster", WHOLE);
    obs_buf_putc(&out, (char)(o->grounded == OBSERVER_TRUE ? 0xc3 : 0xc2));
  }
  put_int_field(&out, "duration_ms", s->duration_ms);

  /* Without memory for it an empty one is published, which the client refuses and counts. */
  (void)observer_publish_message(client, OBSERVER_SESSION_TOPIC, out.oom ? NULL : out.p, out.oom ? 0 : out.len, 0,
                                 NULL);
  obs_buf_fini(&out);
}

/* ---- the three outcomes ---- */

static outcome of_history(const char *verdict, const observer_session *s) {
  size_t n = s->attempts == NULL ? 0 : s->nattempts;
  return (outcome){.verdict = verdict, .iterations = (int64_t)n, .attempts = s->attempts, .nattempts = n};
}

void observer_session_accepted(observer_client *client, const observer_session *s, const void *artifact,
                               size_t artifact_len, observer_bool grounded) {
  if (client == NULL || s == NULL) return;
  outcome o = of_history("accepted", s);
  /* An empty map (0x80) is as good as none. */
  if (artifact != NULL && artifact_len > 0 && (artifact_len > 1 || *(const unsigned char *)artifact != 0x80)) {
    o.artifact = artifact;
    o.artifact_len = artifact_len;
  }
  o.grounded = grounded;
  publish(client, s, &o, WHOLE);
}

void observer_session_exhausted(observer_client *client, const observer_session *s) {
  if (client == NULL || s == NULL) return;
  outcome o = of_history("max_iter_exhausted", s);
  publish(client, s, &o, WHOLE);
}

void observer_session_infra_error(observer_client *client, const observer_session *s, const char *error) {
  if (client == NULL || s == NULL) return;
  observer_attempt attempt = {.verdict_kind = "infra_error", .error = error};
  outcome o = {.verdict = "infra_error", .attempts = &attempt, .nattempts = error != NULL};
  publish(client, s, &o, ERROR_BYTES);
}
