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

static const obs_str names[] = {[OBS_QUESTION_ADVICE] = {"advice", 6, 1}, [OBS_QUESTION_KEY] = {"key", 3, 1}};
enum { NAMES = sizeof(names) / sizeof(names[0]) };

static bool find_name(obs_str key, obs_question_kind *out) {
  for (uint32_t i = 0; i < NAMES; i++) {
    if (!obs_str_eq(key, names[i])) continue;
    *out = (obs_question_kind)i;
    return true;
  }
  return false;
}

/* A map of one member that is called so, and nothing behind it. Cheap for what is none. */
static bool is_msgpack(obs_cursor c, obs_question_kind *kind) {
  obs_cursor_value key;
  obs_cursor whole = c;
  if (obs_cursor_left(&c) < 2 || *c.p != 0x81) return false;
  c.p++;
  if (!obs_msgpack_cursor_value(&c, &key) || key.kind != OBS_VALUE_TEXT || !find_name(key.s, kind)) return false;
  return obs_msgpack_cursor_skip(&whole) && whole.p == whole.end;
}

static bool is_json(obs_reader r, obs_question_kind *kind) {
  obs_cursor *c = &r.in;
  obs_str key;
  obs_json_cursor_space(c);
  if (!obs_json_cursor_take(c, '{') || obs_reader_json_key(&r, &key) != OBS_READ_OK || !find_name(key, kind))
    return false;
  if (!obs_json_cursor_skip(c)) return false;
  obs_json_cursor_space(c);
  if (!obs_json_cursor_take(c, '}')) return false;
  obs_json_cursor_space(c);
  return c->p == c->end;
}

static obs_reader reader_of(const obs_bus_opts *opts, obs_batch *b, obs_cursor payload) {
  return (obs_reader){.in = payload, .limits = &opts->limits, .arena = &b->arena};
}

bool obs_question_find(const obs_bus_opts *opts, obs_batch *b, const void *data, size_t size, obs_question *out) {
  obs_str topic;
  const uint8_t *payload = size <= opts->limits.message_bytes ? obs_batch_payload(data, size, &topic) : NULL;
  if (payload == NULL) return false;
  out->payload = obs_cursor_of(payload, (size_t)((const uint8_t *)data + size - payload));
  out->msgpack = *payload >= 0x80;
  return out->msgpack ? is_msgpack(out->payload, &out->kind) : is_json(reader_of(opts, b, out->payload), &out->kind);
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

void obs_question_answer(const obs_bus_opts *opts, obs_batch *b, const obs_question *asked, obs_buf *reply) {
  obs_buf json = {0};
  obs_bus_question q = {0};
  obs_buf redacted = {0};
  obs_reader r = reader_of(opts, b, asked->payload);
  obs_cursor *in = &r.in;
  obs_redact_format format = asked->msgpack ? OBS_REDACT_MSGPACK : OBS_REDACT_JSON;
  if (obs_redact_message(obs_commit_redact(opts->commit), format, in->p, obs_cursor_left(in), opts->limits.string_bytes,
                         &redacted))
    *in = obs_cursor_of(obs_buf_view(&redacted).p, redacted.len);
  if (redacted.oom)
    obs_reply_error(observer_strerror(OBSERVER_E_NOMEM), reply);
  else if (read_question(&r, asked->msgpack, &json, &q) == OBS_READ_OK)
    ask(opts, &q, reply);
  else
    obs_reply_error(r.reason, reply);
  obs_buf_fini(&json);
  obs_buf_fini(&redacted);
}

obs_str obs_question_key(const obs_bus_opts *opts, obs_batch *b, const obs_question *q) {
  obs_reader r = reader_of(opts, b, q->payload);
  obs_str name;
  obs_cursor_value v = {0};
  bool read;
  if (q->msgpack) {
    r.in.p++; /* the map of one */
    read = obs_msgpack_cursor_skip(&r.in) && obs_msgpack_cursor_value(&r.in, &v);
  } else {
    obs_json_cursor_space(&r.in);
    r.in.p++;
    read = obs_reader_json_key(&r, &name) == OBS_READ_OK && obs_reader_json_value(&r, name, &v) == OBS_READ_OK;
  }
  return read && v.kind == OBS_VALUE_TEXT ? v.s : OBS_STR("");
}
