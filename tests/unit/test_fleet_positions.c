/* Where an edge's batches stand in a stream that loses what it has acknowledged. The stream is made up here: in place
 * of the functions of nats/jetstream.h that are asked, the linker takes those of this file (--wrap). */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fleet/positions.h"

enum { LONGEST = 1000, A = 7, B = 40, SECOND = 1000 };
#define EDGE UINT64_C(0x0123456789abcdef)
#define OTHER UINT64_C(0xfedcba9876543210)
#define FIRST_ID UINT64_C(1)
#define SECOND_ID UINT64_C(2)

static struct {
  uint64_t id, first, last;
  struct {
    char subject[OBS_FLEET_SUBJECT_MAX]; /* "": it is none, as those that were taken out */
    obs_buf data;
  } messages[LONGEST + 1];
  bool is_there; /* else it is deleted */
  uint32_t asked;
  uint32_t away_at; /* this question is not answered; 0: all are */
} stream;

observer_err __wrap_obs_nats_stream_get(obs_nats *n, const char *name, uint64_t seq, obs_buf *data, char *why);
observer_err __wrap_obs_nats_stream_last(obs_nats *n, const char *name, const char *subject, uint64_t *seq,
                                         obs_buf *data, char *why);
observer_err __wrap_obs_nats_stream_look(obs_nats *n, const char *name, obs_nats_stream *out, char *why);

static observer_err ask(const char *name, char *why) {
  assert_string_equal(name, "OBSERVER_OPS");
  if (++stream.asked != stream.away_at) return stream.is_there ? OBSERVER_E_OK : OBSERVER_E_NOTFOUND;
  if (why != NULL) (void)snprintf(why, OBS_NATS_WHY_MAX, "away");
  return OBSERVER_E_NET;
}

observer_err __wrap_obs_nats_stream_get(obs_nats *n, const char *name, uint64_t seq, obs_buf *data, char *why) {
  (void)n;
  observer_err err = ask(name, why);
  if (err != OBSERVER_E_OK) return err;
  if (seq == 0 || seq > stream.last || stream.messages[seq].subject[0] == '\0') return OBSERVER_E_NOTFOUND;
  obs_buf_append(data, stream.messages[seq].data.p, stream.messages[seq].data.len);
  return OBSERVER_E_OK;
}

observer_err __wrap_obs_nats_stream_last(obs_nats *n, const char *name, const char *subject, uint64_t *seq,
                                         obs_buf *data, char *why) {
  (void)n;
  observer_err err = ask(name, why);
  if (err != OBSERVER_E_OK) return err;
  for (*seq = stream.last; *seq > 0 && strcmp(stream.messages[*seq].subject, subject) != 0;) --*seq;
  if (*seq == 0) return OBSERVER_E_NOTFOUND;
  obs_buf_append(data, stream.messages[*seq].data.p, stream.messages[*seq].data.len);
  return OBSERVER_E_OK;
}

observer_err __wrap_obs_nats_stream_look(obs_nats *n, const char *name, obs_nats_stream *out, char *why) {
  (void)n;
  observer_err err = ask(name, why);
  *out = (obs_nats_stream){.id = stream.id, .first_seq = stream.first, .last_seq = stream.last};
  return err;
}

/* ---- what is done to it ---- */

static obs_positions *positions;
static uint64_t row, now_ms;

static void put(const char *subject, const void *data, size_t len) {
  uint64_t seq = ++stream.last;
  assert_true(seq <= LONGEST);
  (void)snprintf(stream.messages[seq].subject, sizeof stream.messages[seq].subject, "%s", subject);
  stream.messages[seq].data.len = 0;
  obs_buf_append(&stream.messages[seq].data, data, len);
}

/* Its next batch of the partition, of two rows. */
static obs_position put_batch(uint64_t edge, uint32_t p) {
  static const char line[] = "{\"endpoint\":\"/e\"}";
  char subject[OBS_FLEET_SUBJECT_MAX];
  obs_fleet_batch b = {0};
  obs_buf message = {0};
  obs_fleet_batch_begin(&b, edge, p, 0);
  for (int i = 0; i < 2; i++) assert_true(obs_fleet_batch_add(&b, line, sizeof line - 1, ++row, 1000, 0));
  assert_int_equal(obs_fleet_batch_seal(&b, &message), OBSERVER_E_OK);
  obs_fleet_batch_subject(edge, p, subject);
  put(subject, message.p, message.len);
  obs_buf_fini(&message);
  obs_fleet_batch_fini(&b);
  return (obs_position){row, stream.last};
}

/* A batch that the stream takes and acknowledges, a second behind the last one. */
static obs_position publish(uint32_t p) {
  uint64_t above = obs_positions_newest(positions);
  obs_position at = put_batch(EDGE, p);
  now_ms += SECOND;
  assert_true(obs_positions_acknowledged(positions, p, at, above, now_ms));
  assert_int_equal(obs_positions_newest(positions), at.stream_seq);
  return at;
}

/* The stream loses its end, and others' batches grow where that was. */
static void lose(uint64_t from, uint64_t up_to) {
  stream.last = from - 1;
  while (stream.last < up_to) (void)put_batch(OTHER, A);
}

static void take_out(uint64_t from, uint64_t up_to) {
  for (uint64_t seq = from; seq <= up_to; seq++) stream.messages[seq].subject[0] = '\0';
}

static int begin(void **state) {
  static const obs_position none[OBS_FLEET_PARTITIONS];
  (void)state;
  stream.id = FIRST_ID;
  stream.first = 1;
  stream.last = 0;
  stream.is_there = true;
  stream.away_at = 0;
  row = 0;
  now_ms = 1;
  return obs_positions_open(EDGE, FIRST_ID, none, &positions) == OBSERVER_E_OK ? 0 : -1;
}

static int end(void **state) {
  (void)state;
  obs_positions_close(positions);
  for (uint32_t i = 0; i <= LONGEST; i++) obs_buf_fini(&stream.messages[i].data);
  return 0;
}

static observer_err find(obs_position found[], char *why) {
  const obs_nats_stream now = {.id = stream.id, .first_seq = stream.first, .last_seq = stream.last};
  return obs_positions_find(positions, NULL, &now, found, why);
}

/* What is found of A and B; of the other partitions, nothing. */
static void check_found(obs_position a, obs_position b) {
  obs_position found[OBS_FLEET_PARTITIONS];
  assert_int_equal(find(found, NULL), OBSERVER_E_OK);
  for (uint32_t p = 0; p < OBS_FLEET_PARTITIONS; p++) {
    obs_position should = p == A ? a : p == B ? b : (obs_position){0};
    assert_int_equal(found[p].seq, should.seq);
    assert_int_equal(found[p].stream_seq, should.stream_seq);
  }
}

static void go_on(void) {
  obs_position found[OBS_FLEET_PARTITIONS];
  assert_int_equal(find(found, NULL), OBSERVER_E_OK);
  obs_positions_go_on(positions, found, stream.id);
  assert_int_equal(obs_positions_stream_id(positions), stream.id);
}

static bool have_gone_back(void) {
  return obs_positions_have_gone_back(positions, NULL);
}

static const obs_position nothing = {0};

/* ---- the tests ---- */

static void test_all_is_there(void **state) {
  (void)state;
  check_found(nothing, nothing);
  assert_false(have_gone_back());
  obs_position a = publish(A), b = publish(B);
  check_found(a, b);
  assert_false(have_gone_back());
  /* Taken, and its acknowledgement was lost with the connection. */
  (void)put_batch(OTHER, A);
  a = put_batch(EDGE, A);
  check_found(a, b);
  go_on();
  assert_int_equal(obs_positions_newest(positions), a.stream_seq);
  assert_false(have_gone_back());
}

static void test_the_end_is_lost(void **state) {
  obs_position a[10], b = publish(B);
  (void)state;
  for (int i = 0; i < 10; i++) a[i] = publish(A);
  lose(a[5].stream_seq, 0);
  assert_true(have_gone_back());
  check_found(a[4], b);
  go_on();
  assert_int_equal(obs_positions_newest(positions), a[4].stream_seq);
  assert_false(have_gone_back());
  obs_position later = put_batch(EDGE, A);
  check_found(later, b); /* behind what still stands nothing is missing */
}

/* The same, when it is found with a connection, and was not noticed before. */
static void test_the_end_was_lost_while_away(void **state) {
  obs_position a[10];
  (void)state;
  for (int i = 0; i < 10; i++) a[i] = publish(A);
  lose(a[5].stream_seq, 0);
  go_on();
  assert_false(have_gone_back());
  (void)put_batch(OTHER, A); /* where an anchor was */
  assert_false(have_gone_back());
}

/* The batch that was under way came behind the loss: it is the last one, and five before it are missing. */
static void test_a_later_batch_hides_lost_ones(void **state) {
  obs_position a[10], b = publish(B);
  (void)state;
  for (int i = 0; i < 10; i++) a[i] = publish(A);
  lose(a[5].stream_seq, a[9].stream_seq);
  obs_position later = put_batch(EDGE, A);
  assert_true(have_gone_back());
  check_found(a[4], b);
  go_on();
  assert_false(have_gone_back());
  /* What is published again comes behind that one; the same happens to it. */
  for (int i = 5; i < 10; i++) a[i] = publish(A);
  assert_true(a[5].stream_seq > later.stream_seq);
  lose(a[8].stream_seq, a[9].stream_seq);
  (void)put_batch(EDGE, A);
  check_found(a[7], b);
}

/* A later batch was acknowledged behind the loss: it stands, and so does the newest one. Only an anchor does not. */
static void test_an_anchor_does_not_stand(void **state) {
  obs_position a[10], b[10];
  (void)state;
  for (int i = 0; i < 10; i++) {
    a[i] = publish(A);
    b[i] = publish(B);
  }
  lose(a[5].stream_seq, b[9].stream_seq);
  obs_position later = publish(A);
  assert_true(have_gone_back());
  check_found(a[4], b[4]);
  go_on();
  assert_int_equal(obs_positions_newest(positions), b[4].stream_seq);
  assert_false(have_gone_back()); /* anchors behind the loss are dropped, also the one that stands */
  /* What was published again stands behind the later one, which does not vouch for anything any more. */
  obs_position again = publish(A);
  check_found(again, b[4]);
  assert_true(again.stream_seq > later.stream_seq);
}

/* Nothing of the partition was before the loss: the later batch does not count as what stands of it. */
static void test_all_of_a_partition_is_lost(void **state) {
  (void)state;
  obs_position b = publish(B), a = publish(A);
  lose(a.stream_seq, a.stream_seq);
  (void)publish(A);
  assert_true(have_gone_back());
  check_found(nothing, b);
}

/* A batch gets a seq that another one had before: nothing has to be asked. */
static void test_a_seq_is_given_again(void **state) {
  obs_position a[10];
  (void)state;
  for (int i = 0; i < 10; i++) a[i] = publish(A);
  uint64_t above = obs_positions_newest(positions);
  assert_int_equal(above, a[9].stream_seq);
  stream.last = a[4].stream_seq;
  obs_position later = put_batch(EDGE, A);
  assert_false(obs_positions_acknowledged(positions, A, later, above, now_ms + SECOND));
  check_found(a[4], nothing); /* not remembered: that it stands proves nothing */
  /* A duplicate gets the seq of the message that is there already. */
  go_on();
  assert_true(obs_positions_acknowledged(positions, A, a[3], 0, now_ms + 2 * SECOND));
}

static void test_the_stream_is_made_anew(void **state) {
  (void)state;
  assert_false(have_gone_back());
  stream.id = SECOND_ID;
  assert_true(have_gone_back());
  stream.id = FIRST_ID;
  for (int i = 0; i < 10; i++) (void)publish(A);
  stream.is_there = false;
  assert_true(have_gone_back());
  stream.is_there = true;
  stream.id = SECOND_ID;
  lose(1, 20);
  (void)put_batch(EDGE, A); /* before anybody has noticed */
  assert_true(have_gone_back());
  check_found(nothing, nothing);
  go_on();
  assert_int_equal(obs_positions_newest(positions), 0);
  assert_false(have_gone_back()); /* no anchor is left */
  obs_position a = publish(A);
  check_found(a, nothing);
  assert_false(have_gone_back());
}

/* Those who run the stream have taken out its beginning, which is no loss. */
static void test_the_beginning_is_taken_out(void **state) {
  obs_position a[5], b[5];
  (void)state;
  for (int i = 0; i < 5; i++) a[i] = publish(A);
  for (int i = 0; i < 5; i++) b[i] = publish(B);
  take_out(1, b[2].stream_seq);
  stream.first = b[3].stream_seq;
  assert_false(have_gone_back());
  check_found(a[4], b[4]);
  go_on();
  /* A later batch of A is there, and those that are not there were acknowledged. */
  obs_position later = put_batch(EDGE, A);
  check_found(later, b[4]);
  take_out(stream.first, stream.last);
  stream.first = stream.last + 1;
  check_found(a[4], b[4]);
  assert_false(have_gone_back());
  /* A single message is missing: that is a loss. */
  later = publish(B);
  assert_false(have_gone_back());
  take_out(later.stream_seq, later.stream_seq);
  assert_true(have_gone_back());
}

/* A worker has asked for older rows again; what follows is published from the last message on, though later rows stand.
 */
static void test_older_rows_come_again(void **state) {
  obs_position a[10];
  (void)state;
  for (int i = 0; i < 10; i++) a[i] = publish(A);
  row = a[1].seq;
  obs_position again = publish(A);
  check_found(again, nothing);
  lose(again.stream_seq, again.stream_seq);
  obs_position behind = publish(A);
  assert_true(have_gone_back());
  check_found(behind, nothing);
  go_on();
  assert_int_equal(obs_positions_newest(positions), behind.stream_seq);
  assert_false(have_gone_back()); /* the loss is known */
}

/* Another run knows the last positions, and no earlier ones. */
static void test_of_an_earlier_run(void **state) {
  obs_position known[OBS_FLEET_PARTITIONS] = {{0}}, a[3];
  (void)state;
  for (int i = 0; i < 3; i++) a[i] = publish(A);
  known[A] = a[2];
  obs_positions_close(positions);
  assert_int_equal(obs_positions_open(EDGE, FIRST_ID, known, &positions), OBSERVER_E_OK);
  assert_int_equal(obs_positions_newest(positions), 0);
  obs_position later = put_batch(EDGE, A);
  check_found(later, nothing);
  lose(a[1].stream_seq, a[2].stream_seq);
  (void)put_batch(EDGE, A);
  check_found(nothing, nothing);
  /* One that has seen no stream takes what is there. */
  obs_positions_close(positions);
  assert_int_equal(obs_positions_open(EDGE, 0, known, &positions), OBSERVER_E_OK);
  assert_int_equal(obs_positions_stream_id(positions), 0);
  later = put_batch(EDGE, A);
  check_found(later, nothing);
}

static void test_what_is_no_batch(void **state) {
  char subject[OBS_FLEET_SUBJECT_MAX];
  (void)state;
  obs_position a = publish(A), b = publish(B);
  check_found(a, b);
  assert_string_equal(stream.messages[a.stream_seq].subject, "observer.ops.7.0123456789abcdef");
  obs_fleet_batch_subject(EDGE, A, subject);
  put(subject, "no batch", 8);
  check_found(nothing, b);
  obs_position other = put_batch(OTHER, B); /* a whole one, of another edge and partition */
  put(subject, stream.messages[other.stream_seq].data.p, stream.messages[other.stream_seq].data.len);
  check_found(nothing, b);
}

/* Looks, with one question that is not answered. */
static bool look_away_at(uint32_t n) {
  stream.asked = 0;
  stream.away_at = n;
  bool gone_back = have_gone_back();
  stream.away_at = 0;
  return gone_back;
}

/* The server is away at each question in turn: that is told, and nothing is concluded. */
static void test_the_server_is_away(void **state) {
  obs_position a[10], found[OBS_FLEET_PARTITIONS], b = publish(B);
  uint32_t looks = 1 + 11 + 1; /* at the stream, an anchor each, the newest */
  char why[OBS_NATS_WHY_MAX];
  (void)state;
  for (int i = 0; i < 10; i++) a[i] = publish(A);
  for (uint32_t n = 1; n <= looks; n++) assert_false(look_away_at(n));
  assert_int_equal(stream.asked, looks);
  lose(a[8].stream_seq, a[9].stream_seq);
  for (uint32_t n = 1; n <= looks - 2; n++) assert_false(look_away_at(n));
  (void)put_batch(EDGE, A);
  stream.asked = 0;
  check_found(a[7], b);
  looks = stream.asked;
  assert_true(looks > OBS_FLEET_PARTITIONS + 3); /* it looks for what stands */
  for (uint32_t n = 1; n <= looks; n++) {
    stream.asked = 0;
    stream.away_at = n;
    why[0] = '\0';
    assert_int_equal(find(found, why), OBSERVER_E_NET);
    assert_string_equal(why, "away");
  }
  stream.away_at = 0;
  check_found(a[7], b);
  assert_true(have_gone_back());
}

/* Of a partition 256 positions are remembered: a loss that is older is published again from the beginning. */
static void test_positions_fall_out(void **state) {
  enum { ALL = 600, REMEMBERED = 256 };
  obs_position a[ALL];
  (void)state;
  for (int i = 0; i < ALL; i++) a[i] = publish(A);
  for (int lost = ALL - 1; lost > 0; lost -= 7) {
    lose(a[lost].stream_seq, a[ALL - 1].stream_seq);
    (void)put_batch(EDGE, A);
    check_found(lost > ALL - REMEMBERED ? a[lost - 1] : nothing, nothing);
  }
}

/* One a second is remembered, so what came between is published again. */
static void test_one_a_second(void **state) {
  obs_position a[10];
  (void)state;
  for (int i = 0; i < 10; i++) {
    a[i] = publish(A);
    now_ms -= SECOND - SECOND / 4;
  }
  lose(a[7].stream_seq, a[9].stream_seq);
  (void)put_batch(EDGE, A);
  check_found(a[4], nothing);
}

/* Of all partitions 40 anchors: what is older is not looked at any more. */
static void test_anchors_fall_out(void **state) {
  enum { ALL = 130, ANCHORS = 40 };
  obs_position a[ALL];
  (void)state;
  for (int i = 0; i < ALL; i++) a[i] = publish(i % 2 == 0 ? A : B);
  stream.asked = 0;
  assert_false(have_gone_back());
  assert_int_equal(stream.asked, 1 + ANCHORS + 1);
  take_out(a[0].stream_seq, a[ALL - ANCHORS - 1].stream_seq); /* without telling */
  assert_false(have_gone_back());
  take_out(a[ALL - ANCHORS].stream_seq, a[ALL - ANCHORS].stream_seq);
  assert_true(have_gone_back());
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_all_is_there, begin, end),
                                     cmocka_unit_test_setup_teardown(test_the_end_is_lost, begin, end),
                                     cmocka_unit_test_setup_teardown(test_the_end_was_lost_while_away, begin, end),
                                     cmocka_unit_test_setup_teardown(test_a_later_batch_hides_lost_ones, begin, end),
                                     cmocka_unit_test_setup_teardown(test_an_anchor_does_not_stand, begin, end),
                                     cmocka_unit_test_setup_teardown(test_all_of_a_partition_is_lost, begin, end),
                                     cmocka_unit_test_setup_teardown(test_a_seq_is_given_again, begin, end),
                                     cmocka_unit_test_setup_teardown(test_the_stream_is_made_anew, begin, end),
                                     cmocka_unit_test_setup_teardown(test_the_beginning_is_taken_out, begin, end),
                                     cmocka_unit_test_setup_teardown(test_older_rows_come_again, begin, end),
                                     cmocka_unit_test_setup_teardown(test_of_an_earlier_run, begin, end),
                                     cmocka_unit_test_setup_teardown(test_what_is_no_batch, begin, end),
                                     cmocka_unit_test_setup_teardown(test_the_server_is_away, begin, end),
                                     cmocka_unit_test_setup_teardown(test_positions_fall_out, begin, end),
                                     cmocka_unit_test_setup_teardown(test_one_a_second, begin, end),
                                     cmocka_unit_test_setup_teardown(test_anchors_fall_out, begin, end)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
