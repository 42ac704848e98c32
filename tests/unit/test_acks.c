/* Answers that wait for the stream: none before its ops are there, each exactly once, whatever the order in which
 * partitions come on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fleet/acks.h"

enum { BATCHES = 400, MOST_OPS = 5 };

typedef struct {
  obs_batch batch; /* first */
  _Atomic uint32_t done;
  char text[1024];
} sent;

static const obs_op_limits limits = {1 << 20, 1000, 65536, 4096, 64, 8};
static uint64_t seqs[OBS_FLEET_PARTITIONS], last;

static void on_done(obs_batch *b) {
  atomic_fetch_add(&((sent *)b)->done, 1);
}

/* A batch of ops of these sessions, recorded behind `last`. */
static void record(sent *s, const uint32_t *sessions, uint32_t n) {
  size_t len = 0;
  for (uint32_t i = 0; i < n; i++)
    len += (size_t)snprintf(s->text + len, sizeof(s->text) - len, "{\"endpoint\":\"/a\",\"session_id\":\"s%u\"}",
                            sessions[i]);
  assert_int_equal(obs_batch_init(&s->batch), OBSERVER_E_OK);
  s->batch.data = (const uint8_t *)s->text;
  s->batch.size = len;
  s->batch.transport = OBS_TRANSPORT_HTTP;
  s->batch.profile = OBS_PROFILE_V1;
  s->batch.done = on_done;
  obs_batch_decode(&s->batch, OBS_FORMAT_JSON, &limits, 0);
  assert_int_equal(s->batch.nops, n);
  s->batch.recorded = s->batch.recorded_ops = n;
  s->batch.last_seq = last += n;
}

static void finish(sent *s) {
  obs_batch_fini(&s->batch);
}

static obs_acks *open_acks(uint32_t wait_ms, size_t bytes) {
  const obs_acks_opts opts = {.wait_ms = wait_ms, .most_bytes = bytes};
  obs_acks *a;
  memset(seqs, 0, sizeof(seqs));
  last = 0;
  assert_int_equal(obs_acks_open(&opts, &a), OBSERVER_E_OK);
  assert_int_equal(obs_acks_start(a), OBSERVER_E_OK);
  return a;
}

static bool is_done(sent *s) {
  for (uint32_t i = 0; i < 20000 && atomic_load(&s->done) == 0; i++) (void)usleep(1000);
  return atomic_load(&s->done) == 1;
}

static bool is_there(const sent *s) {
  uint64_t seq = s->batch.last_seq - s->batch.recorded_ops;
  for (uint32_t i = 0; i < s->batch.nops; i++)
    if (++seq > seqs[obs_fleet_partition(&s->batch.ops[i], OBS_FLEET_PARTITIONS)]) return false;
  return true;
}

static void test_any_order(void **state) {
  (void)state;
  obs_acks *a = open_acks(600000, 64 << 20);
  sent *all = calloc(BATCHES, sizeof(*all));
  assert_non_null(all);
  srand(7);
  for (uint32_t i = 0; i < BATCHES; i++) {
    uint32_t sessions[MOST_OPS], n = 1 + (uint32_t)rand() % MOST_OPS;
    for (uint32_t k = 0; k < n; k++) sessions[k] = (uint32_t)rand() % 200;
    record(&all[i], sessions, n);
    obs_acks_hold(a, &all[i].batch);
    if (i % 3 > 0) continue;
    seqs[(uint32_t)rand() % OBS_FLEET_PARTITIONS] = last - (uint32_t)rand() % 3; /* others stay where they are */
    obs_acks_progress(a, seqs, 0);
    for (uint32_t k = 0; k <= i; k++) {
      if (is_there(&all[k]))
        assert_true(is_done(&all[k]));
      else
        assert_int_equal(atomic_load(&all[k].done), 0);
    }
  }
  for (uint32_t p = 0; p < OBS_FLEET_PARTITIONS; p++) seqs[p] = last;
  obs_acks_progress(a, seqs, last);
  obs_acks_counts counts;
  for (uint32_t i = 0; i < BATCHES; i++) {
    assert_true(is_done(&all[i]));
    assert_int_equal(all[i].batch.error, OBSERVER_E_OK);
  }
  obs_acks_get_counts(a, &counts);
  assert_int_equal(counts.confirmed, BATCHES);
  assert_int_equal(counts.waiting, 0);
  obs_acks_close(a);
  for (uint32_t i = 0; i < BATCHES; i++) finish(&all[i]);
  free(all);
}

static void test_what_is_too_late_too_much_or_too_large(void **state) {
  (void)state;
  obs_acks *a = open_acks(1000, 64 << 20);
  static sent late, large, early;
  const uint32_t session = 1;
  record(&late, &session, 1);
  obs_acks_hold(a, &late.batch);
  record(&large, &session, 1);
  obs_acks_hold(a, &large.batch);
  obs_acks_refuse(a, 2);
  assert_true(is_done(&large));
  assert_string_equal(large.batch.error_text,
                      "not forwarded to NATS: an op is larger than its messages may be (recorded here)");
  assert_true(is_done(&late));
  assert_int_equal(late.batch.error, OBSERVER_E_TIMEDOUT);
  assert_string_equal(late.batch.error_text, "not acknowledged by NATS within 1 s (recorded here, will be forwarded; "
                                             "send again with the same op_id)");
  obs_acks_refuse(a, 3); /* the edge was faster */
  record(&early, &session, 1);
  obs_acks_hold(a, &early.batch);
  assert_true(is_done(&early));
  assert_int_equal(early.batch.error, OBSERVER_E_INVALID);
  obs_acks_close(a);
  finish(&late);
  finish(&large);
  finish(&early);

  static sent first, second;
  a = open_acks(600000, 1);
  record(&first, &session, 1);
  obs_acks_hold(a, &first.batch);
  assert_true(is_done(&first));
  assert_int_equal(first.batch.error, OBSERVER_E_FULL);
  for (uint32_t p = 0; p < OBS_FLEET_PARTITIONS; p++) seqs[p] = 2;
  obs_acks_progress(a, seqs, 2);
  record(&second, &session, 1); /* it is there already */
  obs_acks_hold(a, &second.batch);
  assert_true(is_done(&second));
  assert_int_equal(second.batch.error, OBSERVER_E_OK);
  obs_acks_close(a);
  finish(&first);
  finish(&second);
}

static void test_a_stop_answers_all(void **state) {
  (void)state;
  obs_acks *a = open_acks(600000, 64 << 20);
  static sent two[2];
  const uint32_t session = 1;
  record(&two[0], &session, 1);
  obs_acks_hold(a, &two[0].batch);
  obs_acks_hurry(a, 1);
  assert_true(is_done(&two[0]));
  assert_int_equal(two[0].batch.error, OBSERVER_E_CLOSED);
  record(&two[1], &session, 1);
  obs_acks_hold(a, &two[1].batch);
  obs_acks_stop(a);
  assert_int_equal(atomic_load(&two[1].done), 1);
  assert_int_equal(two[1].batch.error, OBSERVER_E_CLOSED);
  obs_acks_close(a);
  finish(&two[0]);
  finish(&two[1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_any_order),
                                     cmocka_unit_test(test_what_is_too_late_too_much_or_too_large),
                                     cmocka_unit_test(test_a_stop_answers_all)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
