#include "sessions/record.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/json_cursor.h"
#include "base/utf8.h"
#include "sessions/sessions.h"

#include <stdio.h>

enum { PROMPT_BYTES = 4000 }; /* proto/session_record.md */

#define NAME(name)                                                                                                     \
  { #name, sizeof(#name) - 1, 1 }

#define SESSION_FIELD(name, kind, required, rule)                                                                      \
  {NAME(name), offsetof(obs_session_record, name), OBS_SESSION_##kind, (required) != 0},
static const obs_session_field session_fields[] = {OBSERVER_SESSION_FIELDS(SESSION_FIELD)};
#undef SESSION_FIELD

#define ATTEMPT_FIELD(name, kind, required, rule)                                                                      \
  {NAME(name), offsetof(obs_session_attempt, name), OBS_SESSION_##kind, (required) != 0},
static const obs_session_field attempt_fields[] = {OBSERVER_ATTEMPT_FIELDS(ATTEMPT_FIELD)};
#undef ATTEMPT_FIELD

const obs_session_table obs_session_table_record = {NAME(session), session_fields, OBS_S_COUNT};
const obs_session_table obs_session_table_attempt = {{"", 0, 1}, attempt_fields, OBS_A_COUNT}; /* named by its index */

void obs_session_reader_begin(obs_session_reader *s, obs_str json, const obs_op_limits *limits) {
  static const obs_op_limits none = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
  obs_arena_reset(&s->arena);
  s->unknown.n = 0;
  s->r = (obs_reader){.in = obs_cursor_of(json.p, json.len),
                      .limits = limits != NULL ? limits : &none,
                      .arena = &s->arena,
                      .lax = limits == NULL};
}

void obs_session_reader_fini(obs_session_reader *s) {
  obs_arena_fini(&s->arena);
  OBS_VEC_FINI(&s->unknown);
}

/* ---- one object ---- */

static obs_reader_result unexpected(obs_reader *r) {
  obs_json_cursor_unexpected(&r->in);
  return obs_reader_refused(r, OBS_STR(""));
}

/* The value `v`, which began at `start`, goes to its member, by the field's kind. */
static obs_reader_result set_field(obs_reader *r, const obs_session_field *f, const obs_cursor_value *v,
                                   const uint8_t *start, obs_session_head *record) {
  void *member = (char *)record + f->offset;
  switch (f->kind) {
  case OBS_SESSION_TEXT:
    if (v->kind != OBS_VALUE_TEXT) return obs_reader_wrong(r, f->name, "must be a string");
    return obs_reader_text(r, f->name, v->s, member);
  case OBS_SESSION_TIME:
    return obs_reader_time(r, f->name, v, member, &record->time_ms);
  case OBS_SESSION_INT:
    return obs_reader_int(r, f->name, v, false, member);
  case OBS_SESSION_DURATION:
    return obs_reader_duration(r, f->name, v, member);
  case OBS_SESSION_BOOL:
    if (v->kind != OBS_VALUE_BOOL) return obs_reader_wrong(r, f->name, "must be a boolean");
    *(bool *)member = v->b;
    return OBS_READ_OK;
  case OBS_SESSION_OBJECT:
  case OBS_SESSION_ATTEMPTS: /* kept as text; attempts are read out of it later */
    if (*start != (f->kind == OBS_SESSION_OBJECT ? '{' : '['))
      return obs_reader_wrong(r, f->name, f->kind == OBS_SESSION_OBJECT ? "must be a map" : "must be an array");
    r->in.p = start;
    return obs_reader_json_keep(r, f->name, member);
  }
  return OBS_READ_OK;
}

static obs_reader_result keep_unknown(obs_session_reader *s, const obs_session_table *table, obs_str key,
                                      obs_session_head *record) {
  obs_reader *r = &s->r;
  obs_str json;
  for (uint32_t i = 0; !r->lax && i < record->unknown_count; i++) {
    if (obs_str_eq(s->unknown.at[record->unknown_first + i].key, key)) return obs_reader_wrong(r, key, "duplicate key");
  }
  if (record->unknown_count >= r->limits->unknown_fields) {
    return obs_reader_wrong_limit(r, table->what, "more than %u unknown fields", r->limits->unknown_fields);
  }
  obs_reader_result rc = obs_reader_json_keep(r, key, &json);
  if (rc != OBS_READ_OK || r->lax) return rc; /* a row is shown as it stands: nobody asks for these of it */
  obs_op_unknown *kept = OBS_VEC_PUSH(&s->unknown);
  if (kept == NULL) return obs_reader_no_memory(r, OBS_STR("session"));
  *kept = (obs_op_unknown){key, json};
  record->unknown_count++;
  return OBS_READ_OK;
}

/* A key, its colon and its value. */
static obs_reader_result read_member(obs_session_reader *s, const obs_session_table *table, obs_session_head *record) {
  obs_reader *r = &s->r;
  obs_str key, ignored;
  obs_cursor_value v;
  obs_reader_result rc = obs_reader_json_key(r, &key);
  if (rc != OBS_READ_OK) return rc;
  r->key_index++;
  uint32_t i = 0;
  while (i < table->count && !obs_str_eq(table->fields[i].name, key)) i++;
  if (i == table->count) return keep_unknown(s, table, key, record);
  if ((record->seen & OBS_BIT(i)) != 0 && !r->lax) return obs_reader_wrong(r, key, "duplicate key");
  record->seen |= OBS_BIT(i);
  const obs_session_field *f = &table->fields[i];
  const uint8_t *start = r->in.p;
  rc = obs_reader_json_value(r, f->name, &v);
  if (rc == OBS_READ_OK) {
    bool empty_time = f->kind == OBS_SESSION_TIME && v.kind == OBS_VALUE_TEXT && v.s.len == 0;
    if (v.kind == OBS_VALUE_NULL || empty_time) return OBS_READ_OK; /* as good as absent */
    rc = set_field(r, f, &v, start, record);
  }
  if (rc == OBS_READ_OK) record->present |= OBS_BIT(i);
  if (rc != OBS_READ_WRONG || !r->lax) return rc;
  r->in.p = start; /* of another type: counts as left out, if it can be shown at all */
  return obs_reader_json_keep(r, f->name, &ignored);
}

obs_reader_result obs_session_read(obs_session_reader *s, const obs_session_table *table, obs_session_head *record) {
  obs_cursor *c = &s->r.in;
  s->r.key_index = 0;
  record->unknown_first = s->unknown.n;
  obs_json_cursor_space(c);
  if (!obs_json_cursor_take(c, '{')) return obs_reader_wrong(&s->r, table->what, "must be a map");
  obs_json_cursor_space(c);
  if (obs_json_cursor_take(c, '}')) return OBS_READ_OK;
  do {
    obs_reader_result rc = read_member(s, table, record);
    if (rc != OBS_READ_OK) return rc;
    obs_json_cursor_space(c);
  } while (obs_json_cursor_take(c, ','));
  return obs_json_cursor_take(c, '}') ? OBS_READ_OK : unexpected(&s->r);
}

/* ---- attempts ---- */

obs_reader_result obs_session_attempts(obs_session_reader *s, obs_str attempts, obs_session_each each, void *arg) {
  obs_cursor *c = &s->r.in;
  *c = obs_cursor_of(attempts.p, attempts.len);
  c->p++; /* the bracket: set_field saw it */
  obs_json_cursor_space(c);
  if (obs_json_cursor_take(c, ']')) return OBS_READ_OK;
  for (uint32_t i = 0;; i++) {
    obs_session_attempt attempt = {0};
    obs_reader_result rc = OBS_READ_OK;
    obs_json_cursor_space(c);
    /* Of a row, what is no object is passed over. */
    if (s->r.lax && c->p < c->end && *c->p != '{') {
      if (!obs_json_cursor_skip(c)) return obs_reader_refused(&s->r, OBS_STR(""));
    } else {
      rc = obs_session_read(s, &obs_session_table_attempt, &attempt.head);
      if (rc == OBS_READ_OK) rc = each(arg, s, &attempt);
    }
    if (rc == OBS_READ_WRONG) {
      /* `iteration: must be...` becomes `attempts[2].iteration: must be...`, `: must be...` `attempts[2]: must be...`.
       */
      char why[sizeof(s->r.reason)];
      memcpy(why, s->r.reason, sizeof(why));
      snprintf(s->r.reason, sizeof(s->r.reason), "attempts[%u]%s%.220s", i, why[0] == ':' ? "" : ".", why);
    }
    if (rc != OBS_READ_OK) return rc;
    obs_json_cursor_space(c);
    if (!obs_json_cursor_take(c, ',')) return OBS_READ_OK;
  }
}

/* ---- rows ---- */

bool obs_session_parse(obs_session_reader *s, obs_str row, obs_session_record *record, const char **reason) {
  obs_reader *r = &s->r;
  *record = (obs_session_record){0};
  obs_session_reader_begin(s, row, NULL);
  obs_reader_result rc = obs_session_read(s, &obs_session_table_record, &record->head);
  bool schema = OBS_SESSION_HAS(record, schema) && record->schema.len > 0;
  if (rc == OBS_READ_OK) {
    obs_json_cursor_space(&r->in);
    /* Rows of before there was a schema have a verdict at least. */
    if (r->in.p != r->in.end)
      rc = unexpected(r);
    else if (schema && !obs_str_is(record->schema, OBSERVER_SESSION_SCHEMA))
      rc = obs_reader_wrong(r, OBS_STR("schema"), "not " OBSERVER_SESSION_SCHEMA);
    else if (!schema && !OBS_SESSION_HAS(record, final_verdict))
      rc = obs_reader_wrong(r, OBS_STR("session"), "neither schema nor final_verdict");
  }
  *reason = r->reason;
  return rc == OBS_READ_OK;
}

/* ---- what a producer sent, made a row: checked, defaults filled in, in the table's order ---- */

/* The fields that are there and those that every row has, then the unknown ones. */
static void put_object(obs_json_writer *w, const obs_session_table *table, const obs_session_head *record,
                       const obs_op_unknown *unknown) {
  obs_json_object(w, NULL);
  for (uint32_t i = 0; i < table->count; i++) {
    const obs_session_field *f = &table->fields[i];
    const char *name = f->name.p;
    const void *member = (const char *)record + f->offset;
    if (!f->required && (record->present & OBS_BIT(i)) == 0) continue;
    switch (f->kind) {
    case OBS_SESSION_TIME:
    case OBS_SESSION_TEXT:
      obs_json_text(w, name, ((const obs_str *)member)->p != NULL ? *(const obs_str *)member : OBS_STR(""));
      break;
    case OBS_SESSION_INT:
    case OBS_SESSION_DURATION:
      obs_json_i64(w, name, *(const int64_t *)member);
      break;
    case OBS_SESSION_BOOL:
      obs_json_bool(w, name, *(const bool *)member);
      break;
    case OBS_SESSION_OBJECT:
    case OBS_SESSION_ATTEMPTS:
      obs_json_raw(w, name, *(const obs_str *)member);
      break;
    }
  }
  for (uint32_t i = 0; i < record->unknown_count; i++) {
    const obs_op_unknown *u = &unknown[record->unknown_first + i];
    obs_json_key(w, u->key);
    obs_json_raw(w, NULL, u->value);
  }
  obs_json_end(w);
}

/* Attempts are read and written one by one: none of them is kept. */
typedef struct {
  obs_json_writer json;
  uint32_t count;
} attempts_writer;

static obs_reader_result put_attempt(void *arg, obs_session_reader *s, obs_session_attempt *attempt) {
  attempts_writer *w = arg;
  w->count++;
  put_object(&w->json, &obs_session_table_attempt, &attempt->head, s->unknown.at);
  return OBS_READ_OK;
}

/* Checks what the table alone does not, fills in defaults, and writes the row. */
static obs_reader_result write_row(obs_session_reader *s, obs_session_record *r, int64_t now_ms, obs_buf *row) {
  if (r->schema.len > 0 && !obs_str_is(r->schema, OBSERVER_SESSION_SCHEMA))
    return obs_reader_wrong(&s->r, OBS_STR("schema"), "must be " OBSERVER_SESSION_SCHEMA);
  r->schema = OBS_STR(OBSERVER_SESSION_SCHEMA);
  if (r->final_verdict.len == 0) {
    const char *wrong = "required";
    for (uint32_t i = 0; i < r->head.unknown_count; i++) { /* the usual mistake */
      if (obs_str_is(s->unknown.at[r->head.unknown_first + i].key, "endpoint"))
        wrong = "required of a session record (a map with an endpoint is an op: POST it to event)";
    }
    return obs_reader_wrong(&s->r, OBS_STR("final_verdict"), wrong);
  }
  char now[OBS_ISO8601_LEN + 1];
  obs_buf attempts = {0};
  attempts_writer w = {obs_json_write(&attempts), 0};
  obs_reader_result rc = OBS_READ_OK;
  obs_json_array(&w.json, NULL);
  if (OBS_SESSION_HAS(r, attempts)) rc = obs_session_attempts(s, r->attempts, put_attempt, &w);
  obs_json_end(&w.json);
  r->attempts = obs_buf_view(&attempts);
  if (!OBS_SESSION_HAS(r, iterations)) r->iterations = w.count;
  if (r->daemon.len == 0) r->daemon = OBS_STR("validatord");
  if (!OBS_SESSION_HAS(r, timestamp)) {
    obs_clock_format(now_ms, now);
    r->timestamp = (obs_str){now, OBS_ISO8601_LEN, 1};
  }
  r->prompt.len = (uint32_t)obs_utf8_cut(r->prompt.p, r->prompt.len, PROMPT_BYTES);
  if (rc == OBS_READ_OK && !attempts.oom) {
    obs_json_writer json = obs_json_write(row);
    put_object(&json, &obs_session_table_record, &r->head, s->unknown.at);
    obs_buf_putc(row, '\n');
  }
  if (rc == OBS_READ_OK && (attempts.oom || row->oom)) rc = obs_reader_no_memory(&s->r, OBS_STR("session"));
  obs_buf_fini(&attempts);
  return rc;
}

bool obs_session_normalise(obs_str json, const obs_op_limits *limits, int64_t now_ms, obs_buf *row, char *reason,
                           size_t size) {
  obs_session_reader s = {0};
  obs_session_record record = {0};
  size_t start = row->len;
  obs_session_reader_begin(&s, json, limits);
  obs_reader_result rc = obs_session_read(&s, &obs_session_table_record, &record.head);
  if (rc == OBS_READ_OK) rc = write_row(&s, &record, now_ms, row);
  if (rc == OBS_READ_OK && row->len - start > limits->op_bytes) /* a few bytes can be a long row: defaults are added */
    rc = obs_reader_wrong_limit(&s.r, OBS_STR("session"), "larger than %u bytes", limits->op_bytes);
  if (rc != OBS_READ_OK) {
    row->len = start;
    snprintf(reason, size, "%s", s.r.reason);
  }
  obs_session_reader_fini(&s);
  return rc == OBS_READ_OK;
}
