/* What a producer sent, made a row: types and limits checked, defaults filled in, the table's order. */
#include "base/clock.h"
#include "base/utf8.h"
#include "sessions/record.h"
#include "sessions/sessions.h"

#include <stdio.h>

enum { PROMPT_BYTES = 4000 };

/* ---- writing ---- */

static void put_value(obs_buf *out, obs_session_kind kind, const void *member) {
  switch (kind) {
  case OBS_SESSION_TIME:
  case OBS_SESSION_TEXT:
    obs_buf_json_str(out, *(const obs_str *)member);
    break;
  case OBS_SESSION_INT:
  case OBS_SESSION_DURATION:
    obs_buf_i64(out, *(const int64_t *)member);
    break;
  case OBS_SESSION_BOOL:
    obs_buf_puts(out, *(const bool *)member ? "true" : "false");
    break;
  case OBS_SESSION_OBJECT:
  case OBS_SESSION_ATTEMPTS:
    obs_buf_append(out, ((const obs_str *)member)->p, ((const obs_str *)member)->len);
    break;
  }
}

/* The fields that are there and those that every row has, then the unknown ones. */
static void put_object(obs_buf *out, const obs_session_table *table, const obs_session_head *record,
                       const obs_op_unknown *unknown) {
  char before = '{';
  for (uint32_t i = 0; i < table->count; i++) {
    const obs_session_field *f = &table->fields[i];
    if (!f->required && (record->present & OBS_BIT(i)) == 0) continue;
    obs_buf_putc(out, before);
    obs_buf_json_str(out, f->name);
    obs_buf_putc(out, ':');
    put_value(out, f->kind, (const char *)record + f->offset);
    before = ',';
  }
  for (uint32_t i = 0; i < record->unknown_count; i++) {
    const obs_op_unknown *u = &unknown[record->unknown_first + i];
    obs_buf_putc(out, before);
    obs_buf_json_str(out, u->key);
    obs_buf_putc(out, ':');
    obs_buf_append(out, u->value.p, u->value.len);
  }
  obs_buf_putc(out, '}');
}

typedef struct {
  obs_buf *out;
  uint32_t count;
} attempts_writer;

static obs_reader_result put_attempt(void *arg, obs_session_reader *s, obs_session_attempt *attempt) {
  attempts_writer *w = arg;
  if (w->count++ > 0) obs_buf_putc(w->out, ',');
  put_object(w->out, &obs_session_table_attempt, &attempt->head, s->unknown.at);
  return OBS_READ_OK;
}

/* ---- defaults and rules ---- */

static obs_reader_result check(obs_session_reader *s, obs_session_record *r) {
  if (r->schema.len > 0 && !obs_str_is(r->schema, OBSERVER_SESSION_SCHEMA))
    return obs_reader_wrong(&s->r, OBS_STR("schema"), "must be " OBSERVER_SESSION_SCHEMA);
  r->schema = OBS_STR(OBSERVER_SESSION_SCHEMA);
  if (r->final_verdict.len > 0) return OBS_READ_OK;
  const char *wrong = "required";
  for (uint32_t i = 0; i < r->head.unknown_count; i++) {
    if (obs_str_is(s->unknown.at[r->head.unknown_first + i].key, "endpoint"))
      wrong = "required of a session record (a map with an endpoint is an op: POST it to event)";
  }
  return obs_reader_wrong(&s->r, OBS_STR("final_verdict"), wrong);
}

static obs_reader_result write_row(obs_session_reader *s, obs_session_record *r, int64_t now_ms, obs_buf *row) {
  char now[OBS_ISO8601_LEN + 1];
  obs_buf attempts = {0};
  attempts_writer w = {&attempts, 0};
  obs_reader_result rc = OBS_READ_OK;
  obs_buf_putc(&attempts, '[');
  if (OBS_SESSION_HAS(r, attempts)) rc = obs_session_attempts(s, r->attempts, put_attempt, &w);
  obs_buf_putc(&attempts, ']');
  r->attempts = obs_buf_view(&attempts);
  if (!OBS_SESSION_HAS(r, iterations)) r->iterations = w.count;
  if (r->daemon.len == 0) r->daemon = OBS_STR("validatord");
  if (!OBS_SESSION_HAS(r, timestamp)) {
    obs_clock_format(now_ms, now);
    r->timestamp = (obs_str){now, OBS_ISO8601_LEN, 1};
  }
  r->prompt.len = (uint32_t)obs_utf8_cut(r->prompt.p, r->prompt.len, PROMPT_BYTES);
  if (rc == OBS_READ_OK && !attempts.oom) {
    put_object(row, &obs_session_table_record, &r->head, s->unknown.at);
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
  if (rc == OBS_READ_OK) rc = check(&s, &record);
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
