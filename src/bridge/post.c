/* POST event and session: the body is a batch; the answer comes when the journal has it durably. */
#include "base/clock.h"
#include "base/json.h"
#include "bridge/internal.h"

#include <strings.h>

enum { ERRORS_LISTED = 100 };

static bool is_type(obs_str content_type, const char *type) {
  size_t n = strlen(type);
  if (content_type.len < n || strncasecmp(content_type.p, type, n) != 0) return false;
  return content_type.len == n || content_type.p[n] == ';' || content_type.p[n] == ' ';
}

static bool is_ndjson(obs_str content_type) {
  return is_type(content_type, "application/x-ndjson") || is_type(content_type, "application/ndjson");
}

/* On the commit thread: the answer is made and written there. */
static void batch_done(obs_batch *batch) {
  obs_connection_resume(batch->owner);
}

/* True: answered, for nothing is recorded here. What was sent must reach somebody who does, so it is an error that
 * senders keep their ops at. */
static bool refuses(obs_connection *s) {
  const char *why = s->bridge->opts.refuses_ops;
  if (why != NULL) obs_answer_error(&s->http.answer, &s->http.out, 503, "%s", why);
  return why != NULL;
}

/* Hands the body over as ops, or as records of a kind (NULL: ops). True: answered already. */
static bool post(obs_connection *s, const obs_record_kind *kind) {
  const obs_bridge_opts *o = &s->bridge->opts;
  obs_str type = s->http.head.content_type;
  obs_batch *batch = obs_connection_batch(s);
  if (batch == NULL) {
    obs_answer_no_memory(&s->http.answer, &s->http.out);
    return true;
  }
  batch->data = (const uint8_t *)s->http.in.p;
  batch->size = s->http.in.len;
  batch->transport = OBS_TRANSPORT_HTTP;
  batch->profile = s->family == OBS_FAMILY_ROOT ? OBS_PROFILE_LEGACY : OBS_PROFILE_V1;
  batch->kinds = kind != NULL ? obs_commit_kinds(o->commit) : NULL;
  batch->redact = obs_commit_redact(o->commit);
  batch->only = kind;
  batch->identity = &s->identity;
  if (s->producer == 0) s->producer = obs_batch_new_producer();
  batch->producer = s->producer;
  batch->owner = s;
  batch->done = batch_done;
  obs_batch_format format = OBS_FORMAT_ANY; /* curl sends a form's type by itself: then the first byte tells */
  if (is_type(type, "application/msgpack") || is_type(type, "application/x-msgpack") ||
      is_type(type, "application/vnd.msgpack"))
    format = OBS_FORMAT_MSGPACK;
  else if (is_type(type, "application/json") || is_ndjson(type))
    format = OBS_FORMAT_JSON;
  obs_batch_decode(batch, format, &o->limits, obs_clock_wall_ms());
  if (batch->denied > 0) obs_gate_note_source(s);
  s->http.answer.plain = true;
  observer_err err = obs_commit_submit(o->commit, batch);
  if (err == OBSERVER_E_OK) return false;
  batch->error = err;
  obs_connection_resume(s);
  return false;
}

bool obs_bridge_post_event(obs_connection *s, const void *filter) {
  (void)filter;
  return refuses(s) || post(s, NULL);
}

bool obs_bridge_post_session(obs_connection *s, const void *filter) {
  const obs_record_kind *kind = obs_record_kind_named(obs_commit_kinds(s->bridge->opts.commit), "session");
  (void)filter;
  if (refuses(s)) return true;
  if (kind != NULL) return post(s, kind);
  obs_answer_error(&s->http.answer, &s->http.out, 503, "sessions are not recorded here"); /* they must not become ops */
  return true;
}

void obs_bridge_finish_post(obs_connection *s) {
  const obs_batch *batch = s->batch;
  bool one = batch->single && !is_ndjson(s->http.head.content_type);
  uint32_t accepted = batch->recorded + batch->duplicates;
  bool refused = accepted == 0 && batch->nrejects > 0;
  if (batch->error != OBSERVER_E_OK) {
    obs_answer_error(&s->http.answer, &s->http.out, 503, "%s",
                     batch->error_text[0] != '\0' ? batch->error_text : observer_strerror(batch->error));
    return;
  }
  if (one && batch->nrejects > 0) {
    obs_answer_error(&s->http.answer, &s->http.out, 400, "%s", batch->rejects[0].reason);
    return;
  }
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  if (one) {
    obs_json_bool(&w, "accepted", true);
    if (batch->duplicates > 0) obs_json_bool(&w, "duplicate", true);
  } else {
    if (refused) {
      obs_answer_fail(&s->http.answer, 400);
      obs_json_cstr(&w, "error", batch->rejects[0].reason);
    }
    obs_json_bool(&w, "accepted", !refused);
    obs_json_u64(&w, "count", accepted);
    if (batch->duplicates > 0) obs_json_u64(&w, "duplicates", batch->duplicates);
    obs_json_u64(&w, "rejected", batch->nrejects);
    obs_json_array(&w, "errors");
    for (uint32_t i = 0; i < batch->nrejects && i < ERRORS_LISTED; i++) {
      obs_json_object(&w, NULL);
      obs_json_u64(&w, "index", batch->rejects[i].index);
      obs_json_cstr(&w, "error", batch->rejects[i].reason);
      obs_json_end(&w);
    }
    obs_json_end(&w);
  }
  if (batch->only == NULL) { /* records are in no ring */
    obs_state_counts counts = {.ring = batch->ring_size};
    if (batch->recorded == 0) obs_state_get_counts(s->bridge->opts.state, &counts); /* then the commit did not say */
    obs_json_u64(&w, "ring_size", counts.ring);
  }
  obs_json_end(&w);
}
