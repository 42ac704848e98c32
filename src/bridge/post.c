/* POST event and session: the body is a batch; the answer comes when the journal has it durably. */
#include "base/clock.h"
#include "base/json.h"
#include "bridge/handlers.h"
#include "bridge/internal.h"

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

/* On the commit thread; the answer is made on one of NNG's. */
static void batch_done(obs_batch *batch) {
  obs_connection_resume(batch->owner);
}

/* Hands the body over as ops, or as records of a kind (NULL: ops). True: answered already. */
static bool post(obs_connection *s, const obs_record_kind *kind) {
  obs_bridge *b = s->bridge;
  obs_batch *batch = obs_connection_batch(s);
  if (batch == NULL) {
    obs_answer_no_memory(&s->answer, &s->out);
    return true;
  }
  batch->data = (const uint8_t *)s->in.p;
  batch->size = s->in.len;
  batch->transport = OBS_TRANSPORT_HTTP;
  batch->profile = s->family == OBS_FAMILY_ROOT ? OBS_PROFILE_LEGACY : OBS_PROFILE_V1;
  batch->kinds = kind != NULL ? obs_commit_kinds(b->opts.commit) : NULL;
  batch->only = kind;
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

bool obs_bridge_post_event(obs_connection *s, const void *filter) {
  (void)filter;
  return post(s, NULL);
}

bool obs_bridge_post_session(obs_connection *s, const void *filter) {
  (void)filter;
  return post(s, obs_record_kind_named(obs_commit_kinds(s->bridge->opts.commit), "session"));
}

/* The end of the answer. Records are in no ring; a commit that recorded nothing leaves the ring's size unset.
 */
static void end_answer(obs_json_writer *w, const obs_connection *s) {
  const obs_batch *batch = s->batch;
  if (batch->only == NULL) {
    obs_state_counts counts = {.ring = batch->ring_size};
    if (batch->recorded == 0) obs_state_get_counts(s->bridge->opts.state, &counts);
    obs_json_u64(w, "ring_size", counts.ring);
  }
  obs_json_end(w);
}

static void answer_one(obs_connection *s) {
  const obs_batch *batch = s->batch;
  if (batch->nrejects > 0) {
    obs_answer_error(&s->answer, &s->out, 400, "%s", batch->rejects[0].reason);
    return;
  }
  obs_json_writer w = obs_json_write(&s->out);
  obs_json_object(&w, NULL);
  obs_json_bool(&w, "accepted", true);
  if (batch->duplicates > 0) obs_json_bool(&w, "duplicate", true);
  end_answer(&w, s);
}

static void answer_many(obs_connection *s) {
  const obs_batch *batch = s->batch;
  uint32_t accepted = batch->recorded + batch->duplicates;
  bool refused = accepted == 0 && batch->nrejects > 0;
  obs_json_writer w = obs_json_write(&s->out);
  obs_json_object(&w, NULL);
  if (refused) {
    obs_answer_fail(&s->answer, 400);
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
  end_answer(&w, s);
}

void obs_bridge_finish_post(obs_connection *s) {
  const obs_batch *batch = s->batch;
  if (batch->error != OBSERVER_E_OK)
    obs_answer_error(&s->answer, &s->out, 503, "%s",
                     batch->error_text[0] != '\0' ? batch->error_text : observer_strerror(batch->error));
  else if (batch->single && !is_ndjson(s->request.content_type))
    answer_one(s);
  else
    answer_many(s);
}
