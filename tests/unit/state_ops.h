/* Ops and batches made by hand, for the tests of the live state. */
#ifndef TESTS_STATE_OPS_H
#define TESTS_STATE_OPS_H

#include "state/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TEST_BATCH_MAX = 600 };

/* NULL: the field is not set. */
typedef struct {
  const char *source, *endpoint, *staffer, *kind, *role;
  bool ok;
  int64_t ms, time;
} test_op;

typedef struct {
  obs_batch b;
  obs_op ops[TEST_BATCH_MAX];
  obs_batch_line lines[TEST_BATCH_MAX];
} test_batch;

static inline void test_summary(obs_state *s, int64_t now_ms, obs_buf *out) {
  obs_json_writer w = obs_json_write(out);
  obs_json_object(&w, NULL);
  obs_state_put_summary(s, now_ms, &w);
  obs_json_end(&w);
}

static inline uint64_t test_random(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state >> 11;
}

static inline obs_str test_str(const char *s) {
  return (obs_str){s, s ? (uint32_t)strlen(s) : 0, 0};
}

#define TEST_TIMESTAMP "2026-11-21T03:54:10.123Z"

static inline obs_op test_make_op(const test_op *t) {
  obs_op op = {.time_ms = t->time, .timestamp = OBS_STR(TEST_TIMESTAMP), .success = t->ok, .duration_ms = t->ms};
  op.present = OBS_BIT(OBS_F_timestamp) | OBS_BIT(OBS_F_success) | OBS_BIT(OBS_F_duration_ms);
  op.source = test_str(t->source);
  op.endpoint = test_str(t->endpoint);
  op.staffer_id = test_str(t->staffer);
  op.event_kind = test_str(t->kind);
  op.role = test_str(t->role);
  if (t->source) op.present |= OBS_BIT(OBS_F_source);
  if (t->endpoint) op.present |= OBS_BIT(OBS_F_endpoint);
  if (t->staffer) op.present |= OBS_BIT(OBS_F_staffer_id);
  if (t->kind) op.present |= OBS_BIT(OBS_F_event_kind);
  if (t->role) op.present |= OBS_BIT(OBS_F_role);
  obs_op_set_times(&op, t->time, 0);
  return op;
}

static inline test_batch *test_batch_new(void) {
  test_batch *tb = calloc(1, sizeof *tb);
  assert_non_null(tb);
  tb->b.ops = tb->ops;
  tb->b.lines = tb->lines;
  return tb;
}

static inline void test_batch_add(test_batch *tb, const test_op *op, const char *line) {
  assert_true(tb->b.nops < TEST_BATCH_MAX);
  uint32_t i = tb->b.nops++;
  tb->ops[i] = test_make_op(op);
  tb->lines[i] = (obs_batch_line){.off = (uint32_t)tb->b.json.len, .len = (uint32_t)strlen(line) + 1, .index = i};
  obs_buf_puts(&tb->b.json, line);
  obs_buf_putc(&tb->b.json, '\n');
}

static inline void test_batch_clear(test_batch *tb) {
  tb->b.nops = 0;
  obs_buf_reset(&tb->b.json, 1 << 20);
}

static inline void test_batch_free(test_batch *tb) {
  obs_buf_fini(&tb->b.json);
  free(tb);
}

/* One op at `now`, by the way of live ops. */
static inline void test_apply(obs_state *s, const test_op *op, uint64_t seq, int64_t now) {
  test_batch *tb = test_batch_new();
  test_batch_add(tb, op, "{}");
  obs_state_apply(s, &tb->b, seq, now);
  test_batch_free(tb);
}

static inline obs_state *test_open(obs_state_opts opts) {
  obs_state *s = NULL;
  assert_int_equal(obs_state_open(&opts, &s), OBSERVER_E_OK);
  return s;
}

static inline void assert_buf(const obs_buf *b, const char *want) {
  char *got = calloc(1, b->len + 1);
  assert_non_null(got);
  if (b->len > 0) memcpy(got, b->p, b->len);
  assert_string_equal(got, want);
  free(got);
}

#endif
