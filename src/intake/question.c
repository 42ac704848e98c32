#include "intake/question.h"

#include "base/json_cursor.h"
#include "base/msgpack_cursor.h"
#include "intake/reply.h"
#include "op/reader.h"

static const struct {
  obs_str name;
  size_t place; /* in the question */
} members[] = {
    {{"endpoint", 8, 1}, offsetof(obs_bus_question, endpoint)},
    {{"task_class", 10, 1}, offsetof(obs_bus_question, task_class)},
    {{"session_id", 10, 1}, offsetof(obs_bus_question, session_id)},
};
enum { MEMBERS = sizeof(members) / sizeof(members[0]) };

/* ---- which messages are questions ---- */

/* A map of one member that is called so, and nothing behind it. Cheap for what is none. */
static bool is_msgpack(obs_cursor c) {
  static const char fix[] = "\x81\xa6"
                            "advice";
  static const char str8[] = "\x81\xd9\x06"
                             "advice";
  size_t n = obs_cursor_left(&c);
  if ((n < sizeof(fix) - 1 || memcmp(c.p, fix, sizeof(fix) - 1) != 0) &&
      (n < sizeof(str8) - 1 || memcmp(c.p, str8, sizeof(str8) - 1) != 0))
    return false;
  return obs_msgpack_cursor_skip(&c) && c.p == c.end;
}

static bool is_json(obs_reader r) {
  obs_cursor *c = &r.in;
  obs_str key;
  obs_json_cursor_space(c);
  if (!obs_json_cursor_take(c, '{') || obs_reader_json_key(&r, &key) != OBS_READ_OK || !obs_str_is(key, "advice"))
    return false;
  if (!obs_json_cursor_skip(c)) return false;
  obs_json_cursor_space(c);
  if (!obs_json_cursor_take(c, '}')) return false;
  obs_json_cursor_space(c);
  return c->p == c->end;
}

/* ---- what is asked ---- */

static obs_reader_result read_member(obs_reader *r, obs_bus_question *q, uint32_t *seen) {
  obs_str key;
  obs_cursor_value v;
  uint32_t i = 0;
  obs_reader_result rc = obs_reader_json_key(r, &key);
  if (rc != OBS_READ_OK) return rc;
  while (i < MEMBERS && !obs_str_eq(key, members[i].name)) i++;
  if (i == MEMBERS) return obs_reader_wrong(r, key, "advice has only endpoint, task_class and session_id");
  if (*seen & 1u << i) return obs_reader_wrong(r, key, "duplicate key");
  *seen |= 1u << i;
  rc = obs_reader_json_value(r, key, &v);
  if (rc != OBS_READ_OK || v.kind == OBS_VALUE_NULL) return rc;
  if (v.kind != OBS_VALUE_TEXT) return obs_reader_wrong(r, key, "must be a string");
  if (v.s.len == 0) return obs_reader_wrong(r, key, "must not be empty");
  return obs_reader_text(r, key, v.s, (obs_str *)((char *)q + members[i].place));
}

/* Reads a message that was seen to be a question. Of both formats: msgpack is read as the JSON that says the same. */
static obs_reader_result read_question(obs_reader *r, bool msgpack, obs_buf *json, obs_bus_question *q) {
  const obs_str name = OBS_STR("advice");
  obs_cursor *c = &r->in;
  obs_str key;
  uint32_t seen = 0;
  if (msgpack) {
    if (obs_msgpack_cursor_to_json(c->p, obs_cursor_left(c), json) == 0)
      return obs_reader_wrong(r, name, "must be a map of endpoint and task_class, in valid UTF-8");
    *c = obs_cursor_of(json->p, json->len);
  }
  obs_json_cursor_space(c);
  c->p++; /* the map's brace */
  obs_reader_result rc = obs_reader_json_key(r, &key);
  if (rc != OBS_READ_OK) return rc;
  if (!obs_json_cursor_take(c, '{')) return obs_reader_wrong(r, name, "must be a map of endpoint and task_class");
  obs_json_cursor_space(c);
  if (!obs_json_cursor_take(c, '}')) {
    do {
      rc = read_member(r, q, &seen);
      if (rc != OBS_READ_OK) return rc;
      obs_json_cursor_space(c);
    } while (obs_json_cursor_take(c, ','));
  }
  if (q->endpoint.p == NULL && q->task_class.p == NULL)
    return obs_reader_wrong(r, name, "needs endpoint or task_class");
  return OBS_READ_OK;
}

/* ---- the answer ---- */

static void ask(const obs_bus_opts *opts, const obs_bus_question *q, obs_buf *reply) {
  if (opts->advise == NULL)
    obs_reply_error("advice: there is none here", reply);
  else if (!opts->advise(opts->advise_arg, q, reply))
    reply->oom = true;
}

bool obs_question_answer(const obs_bus_opts *opts, obs_batch *b, const void *data, size_t size, obs_buf *reply) {
  obs_str topic;
  obs_buf json = {0};
  obs_bus_question q = {0};
  const uint8_t *payload = size <= opts->limits.message_bytes ? obs_batch_payload(data, size, &topic) : NULL;
  if (payload == NULL) return false;
  obs_reader r = {.in = obs_cursor_of(payload, (size_t)((const uint8_t *)data + size - payload)),
                  .limits = &opts->limits,
                  .arena = &b->arena};
  bool msgpack = *payload >= 0x80;
  if (msgpack ? !is_msgpack(r.in) : !is_json(r)) return false;
  if (read_question(&r, msgpack, &json, &q) == OBS_READ_OK)
    ask(opts, &q, reply);
  else
    obs_reply_error(r.reason, reply);
  obs_buf_fini(&json);
  return true;
}
