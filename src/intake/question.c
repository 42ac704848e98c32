#include "intake/question.h"

#include "intake/reply.h"
#include "op/decoder.h"
#include "op/json_scan.h"

typedef struct {
  obs_str endpoint, task_class; /* p NULL: not asked for */
} question;

static const struct {
  obs_str name;
  size_t place; /* in the question */
} members[] = {
    {{"endpoint", 8, 1}, offsetof(question, endpoint)},
    {{"task_class", 10, 1}, offsetof(question, task_class)},
};
enum { MEMBERS = sizeof(members) / sizeof(members[0]) };

/* ---- which messages are questions ---- */

/* A map of one member that is called so, and nothing behind it. Cheap for what is none. */
static bool is_msgpack(obs_decoder *d) {
  static const char fix[] = "\x81\xa6"
                            "advice";
  static const char str8[] = "\x81\xd9\x06"
                             "advice";
  size_t n = (size_t)(d->end - d->p);
  if ((n < sizeof(fix) - 1 || memcmp(d->p, fix, sizeof(fix) - 1) != 0) &&
      (n < sizeof(str8) - 1 || memcmp(d->p, str8, sizeof(str8) - 1) != 0))
    return false;
  const uint8_t *start = d->p;
  bool whole = obs_msgpack_skip(d) == OBS_DECODE_OK && d->p == d->end;
  d->p = start;
  return whole;
}

static bool is_json(obs_decoder *d) {
  obs_str key;
  const uint8_t *start = d->p;
  obs_json_space(d);
  bool whole = obs_json_take(d, '{') && obs_json_key(d, &key) == OBS_DECODE_OK && obs_str_eq(key, OBS_STR("advice")) &&
               obs_json_skip(d) == OBS_DECODE_OK;
  if (whole) {
    obs_json_space(d);
    whole = obs_json_take(d, '}');
    obs_json_space(d);
  }
  whole = whole && d->p == d->end;
  d->p = start;
  return whole;
}

/* ---- what is asked ---- */

static obs_decoder_result read_member(obs_decoder *d, question *q, uint32_t *seen) {
  obs_str key, *text;
  obs_decoder_value v;
  uint32_t i = 0;
  obs_decoder_result rc = obs_json_key(d, &key);
  if (rc != OBS_DECODE_OK) return rc;
  while (i < MEMBERS && !obs_str_eq(key, members[i].name)) i++;
  if (i == MEMBERS) return obs_decoder_wrong(d, key, "advice has only endpoint and task_class");
  if (*seen & 1u << i) return obs_decoder_wrong(d, key, "duplicate key");
  *seen |= 1u << i;
  text = (obs_str *)((char *)q + members[i].place);
  rc = obs_json_value_at(d, key, &v);
  if (rc != OBS_DECODE_OK || v.kind == OBS_VALUE_NULL) return rc;
  if (v.kind != OBS_VALUE_TEXT) return obs_decoder_wrong(d, key, "must be a string");
  if (v.s.len == 0) return obs_decoder_wrong(d, key, "must not be empty");
  return obs_decoder_text(d, key, v.s, text);
}

/* d->p is at a value that was seen to be whole. */
static obs_decoder_result read_question(obs_decoder *d, question *q) {
  static const obs_str name = {"advice", 6, 1};
  uint32_t seen = 0;
  if (!obs_json_take(d, '{')) return obs_decoder_wrong(d, name, "must be a map of endpoint and task_class");
  obs_json_space(d);
  if (!obs_json_take(d, '}')) {
    do {
      obs_decoder_result rc = read_member(d, q, &seen);
      if (rc != OBS_DECODE_OK) return rc;
      obs_json_space(d);
    } while (obs_json_take(d, ','));
  }
  if (q->endpoint.p == NULL && q->task_class.p == NULL)
    return obs_decoder_wrong(d, name, "needs endpoint or task_class");
  return OBS_DECODE_OK;
}

/* Of both formats: msgpack is read as the JSON that says the same. */
static obs_decoder_result read_message(obs_decoder *d, bool msgpack, obs_buf *json, question *q) {
  obs_str key;
  if (msgpack) {
    if (obs_msgpack_to_json(d->p, (size_t)(d->end - d->p), json) == 0)
      return obs_decoder_wrong(d, OBS_STR("advice"), "must be a map of endpoint and task_class, in valid UTF-8");
    d->base = d->p = (const uint8_t *)json->p;
    d->end = d->p + json->len;
  }
  obs_json_space(d);
  d->p++; /* the map's brace */
  obs_decoder_result rc = obs_json_key(d, &key);
  return rc == OBS_DECODE_OK ? read_question(d, q) : rc;
}

/* ---- the answer ---- */

static nng_msg *ask(const obs_bus_opts *opts, const question *q) {
  obs_buf out = {0};
  nng_msg *reply = NULL;
  if (opts->advise == NULL) return obs_reply_error("advice: there is none here");
  if (opts->advise(opts->advise_arg, q->endpoint, q->task_class, &out)) reply = obs_reply_bytes(out.p, out.len);
  obs_buf_fini(&out);
  return reply;
}

bool obs_question_answer(const obs_bus_opts *opts, obs_batch *b, const void *data, size_t size, nng_msg **reply) {
  obs_str topic;
  obs_buf json = {0};
  question q = {0};
  const uint8_t *payload = size <= opts->limits.message_bytes ? obs_batch_payload(data, size, &topic) : NULL;
  if (payload == NULL) return false;
  obs_decoder d = {.b = b,
                   .limits = &opts->limits,
                   .base = payload,
                   .p = payload,
                   .end = (const uint8_t *)data + size,
                   .expect = OBS_F_COUNT};
  bool msgpack = *payload >= 0x80;
  if (msgpack ? !is_msgpack(&d) : !is_json(&d)) return false;
  bool good = read_message(&d, msgpack, &json, &q) == OBS_DECODE_OK;
  *reply = good ? ask(opts, &q) : obs_reply_error(d.reason);
  obs_buf_fini(&json);
  return true;
}
