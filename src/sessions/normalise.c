/* What a producer sent, made a row: types and limits checked, defaults filled in, the table's order. */
#include "base/clock.h"
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

static obs_decoder_result put_attempt(void *arg, obs_decoder *d, obs_attempt_record *attempt) {
  attempts_writer *w = arg;
  if (w->count++ > 0) obs_buf_putc(w->out, ',');
  put_object(w->out, &obs_session_table_attempt, &attempt->head, d->b->unknown);
  return OBS_DECODE_OK;
}

/* ---- defaults and rules ---- */

static bool has_unknown(const obs_decoder *d, const obs_session_record *r, obs_str key) {
  for (uint32_t i = 0; i < r->head.unknown_count; i++) {
    if (obs_str_eq(d->b->unknown[r->head.unknown_first + i].key, key)) return true;
  }
  return false;
}

static obs_decoder_result check_schema(obs_decoder *d, obs_session_record *r) {
  const obs_str ours = OBS_STR(OBSERVER_SESSION_SCHEMA);
  if (r->schema.len > 0 && !obs_str_eq(r->schema, ours)) {
    return obs_decoder_wrong(d, OBS_STR("schema"), "must be " OBSERVER_SESSION_SCHEMA);
  }
  r->schema = ours;
  return OBS_DECODE_OK;
}

static obs_decoder_result check_verdict(obs_decoder *d, const obs_session_record *r) {
  if (r->final_verdict.len > 0) return OBS_DECODE_OK;
  bool op = has_unknown(d, r, OBS_STR("endpoint"));
  return obs_decoder_wrong(d, OBS_STR("final_verdict"),
                           op ? "required of a session record (a map with an endpoint is an op: POST it to event)"
                              : "required");
}

static void cut_prompt(obs_str *prompt) {
  uint32_t n = PROMPT_BYTES;
  if (prompt->len <= n) return;
  while (n > 0 && ((unsigned char)prompt->p[n] & 0xc0) == 0x80) n--; /* whole characters */
  prompt->len = n;
}

/* `text` lives as long as the record. */
static void set_defaults(obs_session_record *r, int64_t now_ms, char text[OBS_ISO8601_LEN + 1]) {
  if (r->daemon.len == 0) r->daemon = OBS_STR("validatord");
  if (OBS_SESSION_HAS(r, timestamp)) return;
  obs_clock_format(now_ms, text);
  r->timestamp = (obs_str){text, OBS_ISO8601_LEN, 1};
}

static obs_decoder_result write_row(obs_decoder *d, obs_session_record *r, int64_t now_ms, obs_buf *row) {
  char now[OBS_ISO8601_LEN + 1];
  obs_buf attempts = {0};
  attempts_writer w = {&attempts, 0};
  obs_decoder_result rc = OBS_DECODE_OK;
  obs_buf_putc(&attempts, '[');
  if (OBS_SESSION_HAS(r, attempts)) rc = obs_session_attempts(d, r->attempts, put_attempt, &w);
  obs_buf_putc(&attempts, ']');
  r->attempts = (obs_str){attempts.p, (uint32_t)attempts.len, 0};
  if (!OBS_SESSION_HAS(r, iterations)) r->iterations = w.count;
  set_defaults(r, now_ms, now);
  cut_prompt(&r->prompt);
  if (rc == OBS_DECODE_OK && !attempts.oom) {
    put_object(row, &obs_session_table_record, &r->head, d->b->unknown);
    obs_buf_putc(row, '\n');
  }
  if (rc == OBS_DECODE_OK && (attempts.oom || row->oom)) rc = obs_decoder_wrong(d, OBS_STR("session"), "out of memory");
  obs_buf_fini(&attempts);
  return rc;
}

/* A few bytes can be a long row: an empty attempt gets its defaults. */
static obs_decoder_result check_size(obs_decoder *d, size_t row_bytes) {
  if (row_bytes <= d->limits->op_bytes) return OBS_DECODE_OK;
  return obs_decoder_wrong_limit(d, OBS_STR("session"), "larger than %u bytes", d->limits->op_bytes);
}

bool obs_session_normalise(obs_str json, const obs_op_limits *limits, int64_t now_ms, obs_buf *row, char *reason,
                           size_t size) {
  obs_batch scratch;
  obs_session_record record = {0};
  size_t start = row->len;
  if (obs_batch_init(&scratch) != OBSERVER_E_OK) {
    snprintf(reason, size, "session: out of memory");
    return false;
  }
  obs_decoder d = obs_session_decoder(&scratch, json, limits);
  obs_decoder_result rc = obs_session_read(&d, &obs_session_table_record, &record.head);
  if (rc == OBS_DECODE_OK) rc = check_schema(&d, &record);
  if (rc == OBS_DECODE_OK) rc = check_verdict(&d, &record);
  if (rc == OBS_DECODE_OK) rc = write_row(&d, &record, now_ms, row);
  if (rc == OBS_DECODE_OK) rc = check_size(&d, row->len - start);
  if (rc != OBS_DECODE_OK) {
    row->len = start;
    snprintf(reason, size, "%s", d.reason);
  }
  obs_batch_fini(&scratch);
  return rc == OBS_DECODE_OK;
}
