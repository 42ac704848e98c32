#include "play.h"

#include "base/clock.h"
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 1000, LENGTH_MAX = 16384 };

static void check(bool good, const char *what) {
  if (good) return;
  fprintf(stderr, "days: %s\n", what);
  exit(2);
}

static void write_texts(obs_json_writer *w, const days_world *world, const days_row *r, int first, int last) {
  char name[DAYS_NAME];
  for (int a = first; a <= last; a++) {
    if (r->v[a] == DAYS_ABSENT) continue;
    days_name(world, (days_attr)a, r->v[a], name);
    const char *dot = strchr(days_attr_names[a], '.');
    obs_json_cstr(w, dot != NULL ? dot + 1 : days_attr_names[a], name);
  }
}

static void write_extra(obs_json_writer *w, const days_world *world, const days_row *r) {
  int some = r->v[DAYS_TOKENS] != DAYS_ABSENT;
  for (int a = DAYS_MODEL; a <= DAYS_TRACE; a++) some += r->v[a] != DAYS_ABSENT;
  if (some == 0) return;
  obs_json_object(w, "extra");
  write_texts(w, world, r, DAYS_MODEL, DAYS_TRACE);
  if (r->v[DAYS_TOKENS] != DAYS_ABSENT) obs_json_i64(w, "tokens", r->v[DAYS_TOKENS]);
  obs_json_end(w);
}

/* An input of so many bytes that says nothing. */
static obs_str input(int32_t length) {
  static char text[LENGTH_MAX];
  if (text[0] == '\0')
    for (int i = 0; i < LENGTH_MAX; i++) text[i] = "draft the plan of the next week, "[i % 33];
  return (obs_str){text, length == DAYS_ABSENT ? 14 : (uint32_t)(length < LENGTH_MAX ? length : LENGTH_MAX), 0};
}

static void write_change(obs_json_writer *w, const days_world *world, const days_row *r) {
  if (r->kind == DAYS_DEPLOY) {
    obs_json_cstr(w, "endpoint", "ops:deploy/desk");
    obs_json_cstr(w, "source", "pipeline");
    return;
  }
  obs_json_cstr(w, "endpoint", "overseer:gpt-oss:120b");
  obs_json_cstr(w, "source", "overseer_correction");
  obs_json_cstr(w, "correction", "ask for the draft in two parts");
  write_texts(w, world, r, DAYS_TASK, DAYS_TASK);
  write_texts(w, world, r, DAYS_SIG, DAYS_SIG);
}

static void write_op(obs_json_writer *w, const days_world *world, const days_row *r) {
  if (r->error != DAYS_ERROR_NONE) {
    char text[128];
    snprintf(text, sizeof(text), days_error_texts[r->error], r->number);
    obs_json_cstr(w, "error", text);
  }
  obs_json_text(w, "input_summary", input(r->v[DAYS_LENGTH]));
  write_texts(w, world, r, DAYS_ENDPOINT, DAYS_QUEUE);
  if (r->v[DAYS_COUNT] != DAYS_ABSENT) obs_json_i64(w, "count", r->v[DAYS_COUNT]);
  if (r->v[DAYS_TURNS] != DAYS_ABSENT) obs_json_i64(w, "turns", r->v[DAYS_TURNS]);
  if (r->v[DAYS_RESCUE] != DAYS_ABSENT) obs_json_bool(w, "rescue_attempted", r->v[DAYS_RESCUE] != 0);
  write_extra(w, world, r);
}

void days_line(const days_world *world, const days_row *r, obs_buf *out) {
  obs_json_writer w = obs_json_write(out);
  obs_json_object(&w, NULL);
  obs_json_time(&w, "timestamp", r->stamp_ms);
  obs_json_bool(&w, "success", r->error == DAYS_ERROR_NONE);
  obs_json_i64(&w, "duration_ms", r->duration_ms);
  obs_json_cstr(&w, "output_summary", r->error == DAYS_ERROR_NONE ? "done" : "failed");
  if (r->kind == DAYS_OP)
    write_op(&w, world, r);
  else
    write_change(&w, world, r);
  obs_json_end(&w);
  obs_buf_putc(out, '\n');
}

/* Applies rows `first` to `end`; failures with the same text but for its number are one cluster. */
static void apply(const days_world *w, uint32_t first, uint32_t end, obs_batch *b, obs_buf *lines, obs_facts *facts) {
  const obs_op_limits limits = OBS_LIMITS_DEFAULT;
  uint64_t clusters[BATCH];
  obs_buf_reset(lines, SIZE_MAX);
  for (uint32_t i = first; i < end; i++) days_line(w, &w->rows[i], lines);
  check(!lines->oom, "no memory");
  int64_t now_ms = w->rows[end - 1].received_ms;
  obs_batch_reset(b);
  b->data = (const uint8_t *)lines->p;
  b->size = lines->len;
  b->transport = OBS_TRANSPORT_HTTP;
  b->profile = OBS_PROFILE_V1;
  obs_batch_decode(b, OBS_FORMAT_JSON, &limits, now_ms);
  check(b->nops == end - first, "an op was rejected");
  for (uint32_t i = 0; i < b->nops; i++) {
    const days_row *r = &w->rows[first + i];
    obs_op_set_times(&b->ops[i], r->received_ms, r->event_ms - r->stamp_ms);
    clusters[i] = r->error == DAYS_ERROR_NONE ? 0 : r->error;
  }
  obs_facts_apply(facts, b, first + 1, clusters);
}

void days_play(const days_world *w, obs_diagnose_report *report, double *took_ms) {
  obs_facts *facts;
  obs_facts_view view = {0};
  obs_batch b;
  obs_buf lines = {0};
  check(obs_facts_open(NULL, &facts) == OBSERVER_E_OK && obs_batch_init(&b) == OBSERVER_E_OK, "no memory");
  for (uint32_t i = 0; i < w->nrows; i += BATCH)
    apply(w, i, i + BATCH < w->nrows ? i + BATCH : w->nrows, &b, &lines, facts);
  check(obs_facts_snapshot(facts, &view) == OBSERVER_E_OK, "no memory");
  obs_facts_close(facts);
  obs_batch_fini(&b);
  obs_buf_fini(&lines);
  obs_diagnose_request request = {.cluster = w->ask_cluster ? w->plants[0].error : 0};
  uint64_t start = obs_clock_mono_ns();
  check(obs_diagnose(&view, &request, report) == OBSERVER_E_OK, "no memory");
  *took_ms = (double)(obs_clock_mono_ns() - start) / 1e6;
  obs_facts_view_fini(&view);
}
