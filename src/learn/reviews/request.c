/* What is posted for review, read and checked. */
#include "base/clock.h"
#include "base/json.h"
#include "base/json_search.h"
#include "base/row.h"
#include "base/utf8.h"
#include "learn/reviews/internal.h"

#include <stdio.h>
#include <xxhash.h>

/* X(member of a context, what of the subject it is, what it says of a chain of attempts); an op has the same members.
 * A task (sig_hash) is no asker: several may give the same right answer to it. */
#define CONTEXT_MEMBERS(X)                                                                                             \
  X(endpoint, endpoint, PLACE)                                                                                         \
  X(task_class, task_class, PLACE)                                                                                     \
  X(staffer_id, staffer_id, ASKER)                                                                                     \
  X(op_id, keys[OBS_REVIEW_KEY_op_id], ATTEMPT)                                                                        \
  X(cycle_id, keys[OBS_REVIEW_KEY_cycle_id], ASKER)                                                                    \
  X(session_id, keys[OBS_REVIEW_KEY_session_id], ASKER)                                                                \
  X(sig_hash, keys[OBS_REVIEW_KEY_sig_hash], PLACE)

typedef enum { PLACE, ASKER, ATTEMPT } chain_part;

static bool wrong(char *error, size_t size, const char *name, const char *what) {
  (void)snprintf(error, size, "%s: %s", name, what);
  return false;
}

/* NULL when it is not there or null. */
static const cJSON *member(const cJSON *json, const char *name) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
  return item == NULL || cJSON_IsNull(item) ? NULL : item;
}

static bool take_op(obs_review_request *req, const cJSON *json, const obs_op_limits *limits, char *error, size_t size) {
  obs_review_subject *s = &req->subject;
  if (!cJSON_IsObject(json)) return wrong(error, size, "op", "must be an object");
  req->op_text = cJSON_PrintUnformatted(json);
  if (req->op_text == NULL || obs_batch_init(&req->batch) != OBSERVER_E_OK)
    return wrong(error, size, "op", observer_strerror(OBSERVER_E_NOMEM));
  req->batch_made = true;
  req->batch.data = (const uint8_t *)req->op_text;
  req->batch.size = strlen(req->op_text);
  req->batch.transport = OBS_TRANSPORT_HTTP;
  req->batch.profile = OBS_PROFILE_V1;
  obs_batch_decode(&req->batch, OBS_FORMAT_JSON, limits, obs_clock_wall_ms());
  if (req->batch.nrejects > 0 || req->batch.nops != 1)
    return wrong(error, size, "op", req->batch.nrejects > 0 ? req->batch.rejects[0].reason : "must be one op");
  const obs_op *op = &req->batch.ops[0];
  s->is_op = true;
  s->text = op->output_summary;
  if (s->text.p == NULL) s->text = OBS_STR("");
  if (member(json, "success") != NULL || member(json, "ok") != NULL) s->success = op->success ? 1 : 0;
  if (member(json, "timestamp") != NULL) s->time_ms = op->time_ms;
#define TAKE_OF_OP(name, to, part)                                                                                     \
  if (OBS_HAS(op, name)) s->to = op->name;
  CONTEXT_MEMBERS(TAKE_OF_OP)
#undef TAKE_OF_OP
  return true;
}

/* False: it is there, but no text to take. */
static bool take_member(const cJSON *context, const char *name, obs_str *to, char *error, size_t size) {
  const cJSON *item = member(context, name);
  if (item == NULL) return true;
  if (!cJSON_IsString(item)) {
    (void)snprintf(error, size, "context.%s: must be a string", name);
    return false;
  }
  *to = obs_row_item_text(item);
  if (to->len <= OBS_REVIEW_MEMBER) return true;
  (void)snprintf(error, size, "context.%s: longer than %d bytes", name, OBS_REVIEW_MEMBER);
  return false;
}

static void add_to_chain(obs_review_chain *chain, chain_part part, obs_str value) {
  if (part == ATTEMPT && value.p != NULL) value = OBS_STR(""); /* each attempt has its own: only that there is one */
  uint64_t len = value.p != NULL ? value.len : UINT64_MAX;
  chain->hash = XXH3_64bits_withSeed(&len, sizeof(len), chain->hash);
  if (value.p == NULL) return;
  chain->hash = XXH3_64bits_withSeed(value.p, value.len, chain->hash);
  if (part == ASKER) chain->asker = true;
}

obs_review_chain obs_review_chain_of(const cJSON *context) {
  obs_review_chain chain = {0};
#define ADD_MEMBER(name, of, part) add_to_chain(&chain, part, obs_row_text(context, #name));
  CONTEXT_MEMBERS(ADD_MEMBER)
#undef ADD_MEMBER
  add_to_chain(&chain, PLACE, obs_row_text(context, "text"));
  return chain;
}

/* Writes a member, cut at `max` bytes, and adds it to the hash; an absent one counts by its absence. */
static void put_member(obs_review_request *req, obs_json_writer *w, const char *name, obs_str value, uint32_t max) {
  uint64_t len = value.p != NULL ? value.len : UINT64_MAX;
  req->context_hash = XXH3_64bits_withSeed(&len, sizeof(len), req->context_hash);
  if (value.p == NULL) return;
  req->context_hash = XXH3_64bits_withSeed(value.p, value.len, req->context_hash);
  obs_json_text(w, name, obs_utf8_cut_str(value, max));
}

bool obs_review_request_read(obs_review_request *req, obs_str body, const obs_op_limits *limits, char *error,
                             size_t size) {
  obs_review_subject *s = &req->subject;
  const char *end = NULL;
  s->success = -1;
  s->time_ms = INT64_MIN;
  if (body.len == 0) return wrong(error, size, "body", "must be a JSON object");
  if (!obs_utf8_valid(body.p, body.len)) return wrong(error, size, "body", "must be valid UTF-8");
  if (obs_json_has_nul(body)) /* what follows would not be judged */
    return wrong(error, size, "body", "must not contain NUL characters");
  req->json = cJSON_ParseWithLengthOpts(body.p, body.len, &end, false);
  while (req->json != NULL && end < body.p + body.len && strchr(" \t\r\n", *end) != NULL) end++;
  if (!cJSON_IsObject(req->json) || end != body.p + body.len)
    return wrong(error, size, "body", "must be a JSON object");

  const cJSON *op = member(req->json, "op"), *text = member(req->json, "text");
  const cJSON *context = member(req->json, "context"), *attempt = member(req->json, "attempt");
  if ((op == NULL) == (text == NULL))
    return wrong(error, size, "op, text", op == NULL ? "one of them is required" : "only one of them can be judged");
  if (op != NULL && !take_op(req, op, limits, error, size)) return false;
  if (text != NULL) {
    if (!cJSON_IsString(text)) return wrong(error, size, "text", "must be a string");
    s->text = obs_row_item_text(text);
    if (s->text.len > limits->string_bytes) {
      (void)snprintf(error, size, "text: longer than %u bytes", (unsigned)limits->string_bytes);
      return false;
    }
  }

  if (cJSON_IsString(context)) {
    s->said = obs_row_item_text(context);
    if (s->said.len > limits->string_bytes) return wrong(error, size, "context", "too long");
  } else if (context != NULL) {
    if (!cJSON_IsObject(context)) return wrong(error, size, "context", "must be an object or a string");
#define TAKE_OF_CONTEXT(name, to, part)                                                                                \
  if (!take_member(context, #name, &s->to, error, size)) return false;
    CONTEXT_MEMBERS(TAKE_OF_CONTEXT)
#undef TAKE_OF_CONTEXT
  }
  if (attempt != NULL) {
    double v = cJSON_IsNumber(attempt) ? attempt->valuedouble : 0;
    if (!(v >= 1 && v <= UINT32_MAX) || v != (double)(uint32_t)v)
      return wrong(error, size, "attempt", "must be an integer of at least 1");
    s->attempt = (uint32_t)v;
  }

  obs_json_writer w = obs_json_write(&req->context);
  obs_json_object(&w, NULL);
#define PUT_MEMBER(name, of, part)                                                                                     \
  put_member(req, &w, #name, s->of, OBS_REVIEW_MEMBER);                                                                \
  add_to_chain(&req->chain, part, s->of);
  CONTEXT_MEMBERS(PUT_MEMBER)
#undef PUT_MEMBER
  put_member(req, &w, "text", s->said, OBS_REVIEW_SAID);
  add_to_chain(&req->chain, PLACE, obs_utf8_cut_str(s->said, OBS_REVIEW_SAID));
  obs_json_end(&w);
  return !req->context.oom || wrong(error, size, "review", observer_strerror(OBSERVER_E_NOMEM));
}

void obs_review_request_fini(obs_review_request *req) {
  if (req->batch_made) obs_batch_fini(&req->batch);
  cJSON_free(req->op_text);
  cJSON_Delete(req->json);
  obs_buf_fini(&req->context);
}
