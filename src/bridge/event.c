/* POST event and session: the body is a batch; the answer comes when the disk has it. */
#include "base/clock.h"
#include "bridge/connection.h"
#include "bridge/handlers.h"

#include <inttypes.h>
#include <strings.h>

enum { ERRORS_LISTED = 100 };

static bool is_type(const char *content_type, const char *type) {
  size_t n = strlen(type);
  if (content_type == NULL || strncasecmp(content_type, type, n) != 0) return false;
  return content_type[n] == '\0' || content_type[n] == ';' || content_type[n] == ' ';
}

static bool is_ndjson(const char *content_type) {
  return is_type(content_type, "application/x-ndjson") || is_type(content_type, "application/ndjson");
}

/* Any other type, as the form type that curl sends by itself, leaves it to the first byte. */
static obs_batch_format format_of(const char *content_type) {
  if (is_type(content_type, "application/msgpack") || is_type(content_type, "application/x-msgpack") ||
      is_type(content_type, "application/vnd.msgpack"))
    return OBS_FORMAT_MSGPACK;
  if (is_type(content_type, "application/json") || is_ndjson(content_type)) return OBS_FORMAT_JSON;
  return OBS_FORMAT_ANY;
}

/* Commit thread: the session goes on on one of NNG's. */
static void batch_done(obs_batch *batch) {
  obs_connection_resume(batch->owner);
}

/* Hands the body over as ops or as session records. True: answered already. */
static bool post(obs_connection *s, obs_session_row session) {
  obs_bridge *b = s->bridge;
  obs_batch *batch = obs_connection_batch(s);
  if (batch == NULL) {
    obs_answer_error(&s->answer, &s->out, 503, "%s", observer_strerror(OBSERVER_E_NOMEM));
    return true;
  }
  batch->data = (const uint8_t *)s->in.p;
  batch->size = s->in.len;
  batch->transport = OBS_TRANSPORT_HTTP;
  batch->profile = s->family == OBS_FAMILY_ROOT ? OBS_PROFILE_LEGACY : OBS_PROFILE_V1;
  batch->session = session;
  batch->sessions_only = session != NULL;
  batch->owner = s;
  batch->done = batch_done;
  obs_batch_decode(batch, format_of(s->request.content_type), &b->opts.limits, obs_clock_wall_ms());
  if (!obs_connection_park(s)) return true;
  observer_err err = obs_commit_submit(b->opts.commit, batch);
  if (err == OBSERVER_E_OK) return false;
  batch->error = err;
  obs_connection_resume(s);
  return false;
}

bool obs_handle_event(obs_connection *s) {
  return post(s, NULL);
}

bool obs_handle_session(obs_connection *s) {
  return !obs_have_sessions(s) || post(s, obs_session_normalise);
}

/* What the commit leaves unset when it recorded nothing. */
static uint32_t ring_size(const obs_connection *s) {
  if (s->batch->recorded > 0) return s->batch->ring_size;
  obs_state_counts counts;
  obs_state_get_counts(s->bridge->opts.state, &counts);
  return counts.ring;
}

/* The answer's end. Session records are in no ring. */
static void put_end(obs_connection *s) {
  if (!s->batch->sessions_only) obs_buf_printf(&s->out, ",\"ring_size\":%" PRIu32, ring_size(s));
  obs_buf_putc(&s->out, '}');
}

static void answer_one(obs_connection *s) {
  const obs_batch *batch = s->batch;
  if (batch->nrejects > 0) {
    obs_answer_error(&s->answer, &s->out, 400, "%s", batch->rejects[0].reason);
    return;
  }
  obs_buf_puts(&s->out, batch->duplicates > 0 ? "{\"accepted\":true,\"duplicate\":true" : "{\"accepted\":true");
  put_end(s);
}

static void list_errors(obs_connection *s) {
  const obs_batch *batch = s->batch;
  obs_buf_puts(&s->out, ",\"errors\":[");
  for (uint32_t i = 0; i < batch->nrejects && i < ERRORS_LISTED; i++) {
    obs_buf_printf(&s->out, "%s{\"index\":%" PRIu32 ",\"error\":", i > 0 ? "," : "", batch->rejects[i].index);
    obs_buf_json_cstr(&s->out, batch->rejects[i].reason);
    obs_buf_putc(&s->out, '}');
  }
  obs_buf_putc(&s->out, ']');
}

static void answer_many(obs_connection *s) {
  const obs_batch *batch = s->batch;
  uint32_t accepted = batch->recorded + batch->duplicates;
  obs_buf_putc(&s->out, '{');
  if (accepted == 0 && batch->nrejects > 0) {
    obs_answer_fail(&s->answer, 400);
    obs_buf_puts(&s->out, "\"error\":");
    obs_buf_json_cstr(&s->out, batch->rejects[0].reason);
    obs_buf_putc(&s->out, ',');
  }
  obs_buf_printf(&s->out, "\"accepted\":%s,\"count\":%" PRIu32, s->answer.status == 200 ? "true" : "false", accepted);
  if (batch->duplicates > 0) obs_buf_printf(&s->out, ",\"duplicates\":%" PRIu32, batch->duplicates);
  obs_buf_printf(&s->out, ",\"rejected\":%" PRIu32, batch->nrejects);
  list_errors(s);
  put_end(s);
}

void obs_finish_event(obs_connection *s) {
  const obs_batch *batch = s->batch;
  if (batch->error != OBSERVER_E_OK)
    obs_answer_error(&s->answer, &s->out, 503, "%s",
                     batch->error_text[0] != '\0' ? batch->error_text : observer_strerror(batch->error));
  else if (batch->single && !is_ndjson(s->request.content_type))
    answer_one(s);
  else
    answer_many(s);
}
