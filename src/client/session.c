#include "base/buf.h"
#include "base/utf8.h"

#include <msgpack.h>
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

/* ---- texts ---- */

static bool is_empty(const char *s) {
  return s == NULL || *s == '\0';
}

/* Length of the longest prefix of at most `most` bytes (WHOLE: any number) that cuts no character. */
static size_t cut(const char *s, size_t most) {
  size_t n = strlen(s);
  if (most == WHOLE || n <= most) return n;
  size_t end = most;
  while (end > 0 && most - end < 4 && ((unsigned char)s[end] & 0xc0) == 0x80) end--;
  return obs_utf8_char(s + end, n - end) > most - end ? end : most;
}

/* Bytes that are no UTF-8 become U+FFFD, as they did in the validator's own log: a model's output may hold any. */
static void repair(obs_buf *out, const char *s, size_t n) {
  for (size_t i = 0; i < n;) {
    size_t c = obs_utf8_char(s + i, n - i);
    obs_buf_append(out, c != 0 ? s + i : "\xef\xbf\xbd", c != 0 ? c : 3);
    i += c != 0 ? c : 1;
  }
}

static int pack_bytes(msgpack_packer *pk, const char *s, size_t n) {
  int rc = msgpack_pack_str(pk, n);
  return rc == 0 && n > 0 ? msgpack_pack_str_body(pk, s, n) : rc;
}

static int pack_text(msgpack_packer *pk, const char *s, size_t most) {
  if (s == NULL) s = "";
  size_t n = cut(s, most);
  if (obs_utf8_valid(s, n)) return pack_bytes(pk, s, n);
  obs_buf good = {0};
  repair(&good, s, n);
  int rc = good.oom ? -1 : pack_bytes(pk, good.p, good.len);
  obs_buf_fini(&good);
  return rc;
}

static int pack_text_field(msgpack_packer *pk, const char *name, const char *value, size_t most) {
  int rc = pack_text(pk, name, WHOLE);
  return rc == 0 ? pack_text(pk, value, most) : rc;
}

static int pack_int_field(msgpack_packer *pk, const char *name, int64_t value) {
  int rc = pack_text(pk, name, WHOLE);
  return rc == 0 ? msgpack_pack_int64(pk, value) : rc;
}

/* RFC 3339 with nanoseconds: the daemon takes rows of the same bytes for one that was sent twice. */
static void format_now(char *out, size_t size) {
  struct timespec now;
  struct tm tm;
  char seconds[32];
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &tm);
  strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm);
  snprintf(out, size, "%s.%09ldZ", seconds, now.tv_nsec);
}

/* ---- the record ---- */

static int pack_attempt(msgpack_packer *pk, const observer_attempt *a, size_t error_most) {
  int rc = msgpack_pack_map(pk, 2u + !is_empty(a->error) + !is_empty(a->span_id));
  if (rc == 0) rc = pack_int_field(pk, "iteration", a->iteration);
  if (rc == 0) rc = pack_text_field(pk, "verdict_kind", a->verdict_kind, WHOLE);
  if (rc == 0 && !is_empty(a->error)) rc = pack_text_field(pk, "error", a->error, error_most);
  if (rc == 0 && !is_empty(a->span_id)) rc = pack_text_field(pk, "span_id", a->span_id, WHOLE);
  return rc;
}

static int pack_head(msgpack_packer *pk, const observer_session *s) {
  char now[48];
  const struct {
    const char *name, *value;
    size_t most;
  } fields[] = {
      {"schema", OBSERVER_SESSION_SCHEMA, WHOLE},
      {"session_id", is_empty(s->session_id) ? s->trace_id : s->session_id, WHOLE},
      {"timestamp", is_empty(s->timestamp) ? now : s->timestamp, WHOLE},
      {"daemon", is_empty(s->daemon) ? "validatord" : s->daemon, WHOLE},
      {"kind", s->kind, WHOLE},
      {"model", s->model, WHOLE},
      {"provider", s->provider, WHOLE},
      {"prompt", s->prompt, PROMPT_BYTES},
  };
  int rc = 0;
  format_now(now, sizeof(now));
  for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]) && rc == 0; i++) {
    rc = pack_text_field(pk, fields[i].name, fields[i].value, fields[i].most);
  }
  return rc;
}

static int pack_attempts(msgpack_packer *pk, const outcome *o, size_t error_most) {
  int rc = pack_text(pk, "attempts", WHOLE);
  if (rc == 0) rc = msgpack_pack_array(pk, o->nattempts);
  for (size_t i = 0; i < o->nattempts && rc == 0; i++) rc = pack_attempt(pk, &o->attempts[i], error_most);
  return rc;
}

static int pack_artifact(msgpack_packer *pk, const outcome *o) {
  int rc = pack_text(pk, "artifact", WHOLE);
  return rc == 0 ? pk->callback(pk->data, o->artifact, o->artifact_len) : rc;
}

static int pack_grounded(msgpack_packer *pk, observer_bool grounded) {
  int rc = pack_text(pk, "grounded_in_roster", WHOLE);
  if (rc != 0) return rc;
  return grounded == OBSERVER_TRUE ? msgpack_pack_true(pk) : msgpack_pack_false(pk);
}

/* In the order of OBSERVER_SESSION_FIELDS. */
static int pack_record(msgpack_packer *pk, const observer_session *s, const outcome *o, size_t error_most) {
  enum { ALWAYS = 13 };
  int rc = msgpack_pack_map(pk, ALWAYS + (o->artifact != NULL) + (o->grounded != OBSERVER_UNSET));
  if (rc == 0) rc = pack_head(pk, s);
  if (rc == 0) rc = pack_int_field(pk, "iterations", o->iterations);
  if (rc == 0) rc = pack_int_field(pk, "max_iterations", s->max_iterations);
  if (rc == 0) rc = pack_text_field(pk, "final_verdict", o->verdict, WHOLE);
  if (rc == 0) rc = pack_attempts(pk, o, error_most);
  if (rc == 0 && o->artifact != NULL) rc = pack_artifact(pk, o);
  if (rc == 0 && o->grounded != OBSERVER_UNSET) rc = pack_grounded(pk, o->grounded);
  if (rc == 0) rc = pack_int_field(pk, "duration_ms", s->duration_ms);
  return rc;
}

/* Packed once: what is sent again is the same bytes. */
static void publish(observer_client *client, const observer_session *s, const outcome *o, size_t error_most) {
  msgpack_sbuffer out;
  msgpack_packer pk;
  msgpack_sbuffer_init(&out);
  msgpack_packer_init(&pk, &out, msgpack_sbuffer_write);
  bool packed = pack_record(&pk, s, o, error_most) == 0;
  /* Without memory for it an empty one is published, which the client refuses and counts. */
  (void)observer_publish_message(client, OBSERVER_SESSION_TOPIC, packed ? out.data : NULL, packed ? out.size : 0, 0,
                                 NULL);
  msgpack_sbuffer_destroy(&out);
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
