/* Commit with a real journal whose disk fails: nothing twice, nothing out of order, the counts balance. */
#include "base/clock.h"
#include "base/thread.h"
#include "commit/commit.h"

#include "journal_fixture.h"

#include <stdatomic.h>

typedef struct {
  fixture *f;
  obs_state *state;
  obs_commit *c;
  _Atomic unsigned done;
  const obs_commit_follower *followers;
  uint32_t nfollowers;
  bool no_timer; /* checkpoints only when asked for, and at the end */
  const obs_record_kinds *kinds;
} setup;

static _Atomic bool disk_fails;

static int failing_sync(int fd) {
  if (!atomic_load(&disk_fails)) return fdatasync(fd);
  errno = EIO;
  return -1;
}

static void on_done(obs_batch *b) {
  setup *s = b->owner;
  atomic_fetch_add(&s->done, 1);
}

static void open_all(setup *s, obs_journal_fsync mode) {
  char text[256];
  const obs_state_opts state_opts = OBS_STATE_OPTS_DEFAULT;
  obs_journal_opts journal_opts = {.dir = s->f->dir, .fsync = mode, .fsync_ms = 5};
  obs_commit_recovered recovered;
  assert_int_equal(obs_journal_open(&journal_opts, &s->f->j, text, sizeof(text)), OBSERVER_E_OK);
  s->f->j->datasync = failing_sync;
  assert_int_equal(obs_state_open(&state_opts, &s->state), OBSERVER_E_OK);
  obs_commit_opts opts = {.journal = s->f->j,
                          .state = s->state,
                          .checkpoint_s = s->no_timer ? 0 : 1,
                          .kinds = s->kinds,
                          .followers = s->followers,
                          .nfollowers = s->nfollowers};
  assert_int_equal(obs_commit_open(&opts, &s->c), OBSERVER_E_OK);
  assert_int_equal(obs_commit_recover(s->c, &recovered), OBSERVER_E_OK);
  assert_int_equal(obs_commit_start(s->c), OBSERVER_E_OK);
}

static void close_all(setup *s) {
  obs_commit_stop(s->c, 1000);
  obs_commit_close(s->c);
  obs_state_close(s->state);
  obs_journal_close(s->f->j);
  s->f->j = NULL;
}

static void submit(setup *s, obs_batch *b, obs_transport transport, const char *json) {
  const obs_op_limits limits = OBS_LIMITS_DEFAULT;
  assert_int_equal(obs_batch_init(b), OBSERVER_E_OK);
  b->data = (const uint8_t *)json;
  b->size = strlen(json);
  b->transport = transport;
  b->kinds = s->kinds;
  b->owner = s;
  b->done = on_done;
  obs_batch_decode(b, OBS_FORMAT_ANY, &limits, obs_clock_wall_ms());
  assert_int_equal(obs_commit_submit(s->c, b), OBSERVER_E_OK);
}

static void wait_done(setup *s, unsigned n) {
  uint64_t until = obs_clock_mono_ms() + 20000;
  while (atomic_load(&s->done) < n) {
    assert_true(obs_clock_mono_ms() < until);
    usleep(500);
  }
}

static void wait_health(setup *s, bool well) {
  char text[160];
  uint64_t until = obs_clock_mono_ms() + 20000;
  while ((obs_commit_health(s->c, text, sizeof(text)) == OBSERVER_E_OK) != well) {
    assert_true(obs_clock_mono_ms() < until);
    usleep(500);
  }
}

static unsigned rows_with(const setup *s, const char *needle) {
  char line[4096], name[128];
  unsigned n = 0;
  snprintf(name, sizeof(name), "%s/ops.jsonl", s->f->dir);
  FILE *in = fopen(name, "r");
  assert_non_null(in);
  while (fgets(line, sizeof(line), in) != NULL) n += strstr(line, needle) != NULL;
  assert_int_equal(fclose(in), 0);
  return n;
}

static void check_counts(setup *s, obs_transport t, uint64_t recorded, uint64_t duplicate, uint64_t rejected) {
  obs_commit_counts n;
  obs_commit_get_counts(s->c, t, &n);
  assert_int_equal(n.recorded, recorded);
  assert_int_equal(n.duplicate, duplicate);
  assert_int_equal(n.rejected, rejected);
  assert_int_equal(n.in_flight, 0);
}

/* Asked to send it again: that is neither received nor rejected. */
static void check_refused(setup *s, obs_transport t, uint64_t refused) {
  obs_commit_counts n;
  obs_commit_get_counts(s->c, t, &n);
  assert_int_equal(n.refused, refused);
  assert_int_equal(n.received, n.recorded + n.duplicate + n.rejected);
}

/* What an interval's failed sync could not sync was recorded and stays recorded: once. */
static void test_interval_records_once(void **state) {
  setup s = {.f = *state};
  obs_batch pull, rep, again;
  atomic_store(&disk_fails, true);
  open_all(&s, OBS_FSYNC_INTERVAL);
  submit(&s, &pull, OBS_TRANSPORT_PULL, "{\"endpoint\":\"/pull\",\"op_id\":\"p\"}");
  wait_done(&s, 1);
  wait_health(&s, false);
  usleep(600000); /* more than one attempt */
  atomic_store(&disk_fails, false);
  wait_health(&s, true);
  submit(&s, &rep, OBS_TRANSPORT_REP, "{\"endpoint\":\"/rep\"}");
  submit(&s, &again, OBS_TRANSPORT_REP, "{\"endpoint\":\"/pull\",\"op_id\":\"p\"}");
  wait_done(&s, 3);
  assert_int_equal(rep.last_seq, 2);
  assert_int_equal(again.duplicates, 1);
  assert_int_equal(rows_with(&s, "\"/pull\""), 1);
  assert_int_equal(rows_with(&s, ""), 2);
  check_counts(&s, OBS_TRANSPORT_PULL, 1, 0, 0);
  check_counts(&s, OBS_TRANSPORT_REP, 1, 1, 0);
  close_all(&s);
  obs_batch_fini(&pull);
  obs_batch_fini(&rep);
  obs_batch_fini(&again);
}

/* Who waits for an answer is told; PULL waits; afterwards each op is there once, in order. */
static void test_always_holds_and_resumes(void **state) {
  setup s = {.f = *state};
  obs_batch pull[3], rep, retry;
  atomic_store(&disk_fails, true);
  open_all(&s, OBS_FSYNC_ALWAYS);
  submit(&s, &pull[0], OBS_TRANSPORT_PULL, "{\"endpoint\":\"/a\",\"op_id\":\"a\"}");
  submit(&s, &rep, OBS_TRANSPORT_REP, "{\"endpoint\":\"/r\",\"op_id\":\"r\"}");
  wait_done(&s, 1);
  assert_int_equal(rep.error, OBSERVER_E_IO);
  assert_non_null(strstr(rep.error_text, "Input/output error"));
  submit(&s, &pull[1], OBS_TRANSPORT_PULL, "{\"endpoint\":\"/b\"}");
  submit(&s, &pull[2], OBS_TRANSPORT_PULL, "[{\"endpoint\":\"/c\"},{\"endpoint\":\"/a\",\"op_id\":\"a\"}]");
  wait_health(&s, false);
  assert_int_equal(rows_with(&s, ""), 0);
  atomic_store(&disk_fails, false);
  wait_done(&s, 4);
  wait_health(&s, true);
  submit(&s, &retry, OBS_TRANSPORT_REP, "{\"endpoint\":\"/r\",\"op_id\":\"r\"}");
  wait_done(&s, 5);
  assert_int_equal(retry.recorded, 1);
  assert_int_equal(pull[0].last_seq, 1);
  assert_int_equal(pull[1].last_seq, 2);
  assert_int_equal(pull[2].last_seq, 3);
  assert_int_equal(retry.last_seq, 4);
  assert_int_equal(rows_with(&s, ""), 4);
  check_counts(&s, OBS_TRANSPORT_PULL, 3, 1, 0);
  check_counts(&s, OBS_TRANSPORT_REP, 1, 0, 0);
  check_refused(&s, OBS_TRANSPORT_PULL, 0);
  check_refused(&s, OBS_TRANSPORT_REP, 1);
  close_all(&s);
  for (int i = 0; i < 3; i++) obs_batch_fini(&pull[i]);
  obs_batch_fini(&rep);
  obs_batch_fini(&retry);
}

/* A stop that the disk does not let finish ends by its deadline, and says so in the counts. */
static void test_stop_gives_up(void **state) {
  setup s = {.f = *state};
  obs_batch pull, late;
  atomic_store(&disk_fails, true);
  open_all(&s, OBS_FSYNC_ALWAYS);
  submit(&s, &pull, OBS_TRANSPORT_PULL, "[{\"endpoint\":\"/a\"},{\"endpoint\":\"\"}]");
  wait_health(&s, false);
  obs_commit_stop(s.c, 400);
  assert_int_equal(atomic_load(&s.done), 1);
  check_counts(&s, OBS_TRANSPORT_PULL, 0, 0, 2);
  assert_int_equal(obs_batch_init(&late), OBSERVER_E_OK);
  late.transport = OBS_TRANSPORT_PULL;
  assert_int_equal(obs_commit_submit(s.c, &late), OBSERVER_E_CLOSED);
  assert_int_equal(rows_with(&s, ""), 0);
  close_all(&s);
  obs_batch_fini(&pull);
  obs_batch_fini(&late);
}

static bool has_checkpoint(const setup *s) {
  return access(path(s->f, "checkpoint"), F_OK) == 0;
}

/* A checkpoint that was asked for while the disk fails is written when it is well again. */
static void test_wanted_checkpoint_waits(void **state) {
  setup s = {.f = *state, .no_timer = true};
  obs_batch pull;
  atomic_store(&disk_fails, true);
  open_all(&s, OBS_FSYNC_ALWAYS);
  submit(&s, &pull, OBS_TRANSPORT_PULL, "{\"endpoint\":\"/a\"}");
  wait_health(&s, false);
  obs_commit_checkpoint(s.c);
  usleep(600000); /* the thread has looked at what is wanted */
  assert_false(has_checkpoint(&s));
  atomic_store(&disk_fails, false);
  wait_health(&s, true);
  for (uint64_t until = obs_clock_mono_ms() + 20000; !has_checkpoint(&s); usleep(1000))
    assert_true(obs_clock_mono_ms() < until);
  close_all(&s);
  obs_batch_fini(&pull);
}

/* ---- kinds of records ---- */

/* A sink that keeps what is asked of it as text: `a2+` two rows, `a.` they stand, `a<` taken back, `a?` probed. */
typedef struct {
  char name;
  bool fails;
  char *log; /* of all sinks; they share it */
} sink;

enum { LOG_BYTES = 256 };

static void log_event(const sink *k, const char *event) {
  size_t at = strlen(k->log);
  snprintf(k->log + at, LOG_BYTES - at, "%c%s ", k->name, event);
}

static observer_err sink_append(void *arg, const obs_str *rows, uint32_t n, bool *duplicate,
                                const struct obs_journal_group *ops) {
  const sink *k = arg;
  char event[8];
  (void)ops;
  for (uint32_t i = 0; i < n; i++) duplicate[i] = rows[i].len == strlen("{again}\n");
  snprintf(event, sizeof(event), "%u+", (unsigned)n);
  log_event(k, event);
  return k->fails ? OBSERVER_E_NOSPC : OBSERVER_E_OK;
}

static void sink_commit(void *arg) {
  log_event(arg, ".");
}

static void sink_rollback(void *arg) {
  log_event(arg, "<");
}

static observer_err sink_probe(void *arg, uint64_t bytes) {
  (void)bytes;
  return ((const sink *)arg)->fails ? OBSERVER_E_NOSPC : OBSERVER_E_OK;
}

static observer_err sink_check(void *arg) {
  (void)arg;
  return OBSERVER_E_OK;
}

static const char *sink_error(const void *arg) {
  (void)arg;
  return "the sink is full";
}

static bool make_row(obs_str json, const obs_op_limits *limits, int64_t now_ms, obs_buf *row, char *reason,
                     size_t size) {
  (void)limits, (void)now_ms, (void)reason, (void)size;
  obs_buf_puts(row, memmem(json.p, json.len, "again", 5) != NULL ? "{again}\n" : "{new}\n");
  return true;
}

/* A message of ops and two kinds: recorded whole, in the order of the table, or not at all. */
static void test_kinds(void **state) {
  static const char mixed[] = "[{\"schema\":\"test.b\"},{\"endpoint\":\"/o\"},{\"schema\":\"test.a\"},"
                              "{\"schema\":\"test.b\",\"again\":1},{\"schema\":\"test.c\"}]";
  static const obs_record_sink write = {sink_append, sink_commit, sink_rollback, sink_probe, sink_check, sink_error};
  char log[LOG_BYTES] = "";
  sink a = {'a', false, log}, b = {'b', false, log};
  const obs_record_kinds kinds = {
      {{"a", "test.a", "a", make_row, &write, &a}, {"b", "test.b", "b", make_row, &write, &b}}, 2};
  setup s = {.f = *state, .kinds = &kinds};
  obs_batch good, bad, topic;
  atomic_store(&disk_fails, false);
  open_all(&s, OBS_FSYNC_ALWAYS);
  submit(&s, &good, OBS_TRANSPORT_REP, mixed);
  wait_done(&s, 1);
  assert_string_equal(log, "a1+ b2+ a. b. ");
  assert_int_equal(good.recorded, 3);
  assert_int_equal(good.recorded_ops, 1);
  assert_int_equal(good.duplicates, 1);
  assert_true(good.records[2].duplicate && good.records[2].index == 3);
  assert_int_equal(good.nrejects, 1); /* somebody else's schema: an op without an endpoint */
  log[0] = '\0';
  b.fails = true;
  submit(&s, &bad, OBS_TRANSPORT_REP, mixed);
  wait_done(&s, 2);
  assert_int_equal(bad.error, OBSERVER_E_NOSPC);
  assert_string_equal(bad.error_text, "the sink is full");
  assert_string_equal(log, "a1+ b2+ a< ");
  assert_int_equal(rows_with(&s, ""), 1);
  b.fails = false;
  wait_health(&s, true);
  log[0] = '\0';
  submit(&s, &topic, OBS_TRANSPORT_PULL, "b"); /* the topic alone: nothing behind it */
  wait_done(&s, 3);
  assert_int_equal(topic.nrejects, 1);
  assert_string_equal(log, "");
  close_all(&s);
  obs_batch_fini(&good);
  obs_batch_fini(&bad);
  obs_batch_fini(&topic);
}

/* ---- shares of the queue ---- */

enum { SHARE_BATCHES = 400 };

static void on_room(void *arg) {
  atomic_fetch_add((_Atomic unsigned *)arg, 1);
}

static observer_err submit_so(obs_commit *c, obs_batch *b, obs_transport transport, bool pipelined, setup *s) {
  static const char json[] = "{\"endpoint\":\"/a\"}";
  const obs_op_limits limits = OBS_LIMITS_DEFAULT;
  assert_int_equal(obs_batch_init(b), OBSERVER_E_OK);
  b->data = (const uint8_t *)json;
  b->size = sizeof(json) - 1;
  b->transport = transport;
  b->pipelined = pipelined;
  b->owner = s;
  b->done = on_done;
  obs_batch_decode(b, OBS_FORMAT_ANY, &limits, obs_clock_wall_ms());
  return obs_commit_submit(c, b);
}

static observer_err submit_one(obs_commit *c, obs_batch *b, obs_transport transport, setup *s) {
  return submit_so(c, b, transport, false, s);
}

/* Fills the queue with one transport until it is refused or asked to pause. Returns how many were taken. */
static unsigned fill_share(obs_commit *c, obs_batch *batches, unsigned used, obs_transport transport, setup *s) {
  bool pauses = obs_transport_policies[transport].full == OBS_TRANSPORT_PAUSES;
  unsigned n = 0;
  for (;; n++) {
    assert_true(used + n < SHARE_BATCHES);
    if (pauses && !obs_commit_has_room(c, transport)) return n;
    if (submit_one(c, &batches[used + n], transport, s) == OBSERVER_E_OK) continue;
    assert_int_equal(batches[used + n].error, OBSERVER_E_FULL);
    assert_string_equal(batches[used + n].error_text, "queue full");
    obs_batch_fini(&batches[used + n]);
    return n;
  }
}

/* A flood of those who wait for nothing leaves room for who waits for an answer, and the reader of PULL is told when it
 * may go on. */
static void test_best_effort_yields(void **state) {
  (void)state;
  setup s = {0};
  _Atomic unsigned rooms = 0;
  static obs_batch batches[SHARE_BATCHES];
  obs_batch rep, http, tail;
  obs_commit_counts n;
  const obs_state_opts state_opts = OBS_STATE_OPTS_DEFAULT;
  assert_int_equal(obs_state_open(&state_opts, &s.state), OBSERVER_E_OK);
  obs_commit_opts opts = {.state = s.state, .queue_bytes = 1 << 20, .room = on_room, .room_arg = &rooms};
  assert_int_equal(obs_commit_open(&opts, &s.c), OBSERVER_E_OK);
  unsigned sub = fill_share(s.c, batches, 0, OBS_TRANSPORT_SUB, &s);
  size_t half = sub * obs_batch_bytes(&batches[0]);
  assert_true(half >= opts.queue_bytes / 100 * 50 && half < opts.queue_bytes * 52 / 100);
  assert_int_equal(submit_one(s.c, &rep, OBS_TRANSPORT_REP, &s), OBSERVER_E_OK);
  assert_int_equal(submit_one(s.c, &http, OBS_TRANSPORT_HTTP, &s), OBSERVER_E_OK);
  unsigned pull = fill_share(s.c, batches, sub, OBS_TRANSPORT_PULL, &s);
  size_t most = (sub + pull + 2) * obs_batch_bytes(&batches[0]);
  assert_true(pull > 0 && most >= opts.queue_bytes / 100 * 75 && most < opts.queue_bytes * 77 / 100);
  assert_int_equal(submit_one(s.c, &tail, OBS_TRANSPORT_TAIL, &s), OBSERVER_E_OK);
  unsigned last = fill_share(s.c, batches, sub + pull, OBS_TRANSPORT_REP, &s);
  assert_true(last > 0);
  assert_true(obs_commit_has_room(s.c, OBS_TRANSPORT_HTTP) == false);
  assert_int_equal(atomic_load(&rooms), 0);
  assert_int_equal(obs_commit_start(s.c), OBSERVER_E_OK);
  wait_done(&s, sub + pull + last + 3);
  obs_commit_stop(s.c, 1000);
  assert_int_equal(atomic_load(&rooms), 1);
  obs_commit_get_counts(s.c, OBS_TRANSPORT_SUB, &n);
  assert_int_equal(n.received, sub + 1);
  assert_int_equal(n.recorded, sub);
  assert_int_equal(n.rejected, 1);
  assert_int_equal(n.rejects[OBS_REJECT_QUEUE], 1);
  assert_int_equal(n.messages, sub + 1);
  obs_commit_figures figures;
  obs_commit_get_figures(s.c, &figures);
  assert_int_equal(figures.queue_capacity, opts.queue_bytes);
  assert_int_equal(figures.queue_bytes, 0);
  assert_true(figures.stalls > 0 && figures.committed_ms > 0);
  uint64_t groups = 0;
  for (uint32_t i = 0; i <= obs_commit_group_scale.n; i++) groups += figures.groups.n[i];
  assert_true(groups > 0 && groups <= figures.groups.sum);
  obs_commit_close(s.c);
  obs_state_close(s.state);
  for (unsigned i = 0; i < sub + pull + last; i++) obs_batch_fini(&batches[i]);
  obs_batch_fini(&rep);
  obs_batch_fini(&http);
  obs_batch_fini(&tail);
}

/* While it is held nothing more is taken, each is told why, and what paused is told when it goes on. */
static void test_hold(void **state) {
  (void)state;
  setup s = {0};
  _Atomic unsigned rooms = 0;
  obs_batch rep, sub, pull, later;
  char text[160];
  const obs_state_opts state_opts = OBS_STATE_OPTS_DEFAULT;
  assert_int_equal(obs_state_open(&state_opts, &s.state), OBSERVER_E_OK);
  obs_commit_opts opts = {.state = s.state, .room = on_room, .room_arg = &rooms};
  assert_int_equal(obs_commit_open(&opts, &s.c), OBSERVER_E_OK);
  assert_int_equal(obs_commit_start(s.c), OBSERVER_E_OK);
  obs_commit_hold(s.c, "away for 1 s");
  obs_commit_hold(s.c, "away for 2 s");
  assert_int_equal(obs_commit_health(s.c, text, sizeof(text)), OBSERVER_E_FULL);
  assert_string_equal(text, "away for 2 s");
  assert_int_equal(submit_one(s.c, &rep, OBS_TRANSPORT_REP, &s), OBSERVER_E_FULL);
  assert_string_equal(rep.error_text, "away for 2 s");
  assert_int_equal(submit_one(s.c, &sub, OBS_TRANSPORT_SUB, &s), OBSERVER_E_FULL);
  assert_int_equal(submit_one(s.c, &pull, OBS_TRANSPORT_PULL, &s), OBSERVER_E_OK); /* it was read already */
  wait_done(&s, 1);
  assert_false(obs_commit_has_room(s.c, OBS_TRANSPORT_PULL));
  unsigned before = atomic_load(&rooms);
  obs_commit_hold(s.c, NULL);
  for (uint64_t until = obs_clock_mono_ms() + 20000; atomic_load(&rooms) == before;) {
    assert_true(obs_clock_mono_ms() < until);
    usleep(500);
  }
  assert_true(obs_commit_has_room(s.c, OBS_TRANSPORT_PULL));
  assert_int_equal(obs_commit_health(s.c, text, sizeof(text)), OBSERVER_E_OK);
  assert_int_equal(submit_one(s.c, &later, OBS_TRANSPORT_REP, &s), OBSERVER_E_OK);
  wait_done(&s, 2);
  check_counts(&s, OBS_TRANSPORT_PULL, 1, 0, 0);
  check_counts(&s, OBS_TRANSPORT_REP, 1, 0, 0);
  check_counts(&s, OBS_TRANSPORT_SUB, 0, 0, 1);
  check_refused(&s, OBS_TRANSPORT_REP, 1);
  obs_commit_stop(s.c, 1000);
  obs_commit_close(s.c);
  obs_state_close(s.state);
  obs_batch_fini(&rep);
  obs_batch_fini(&sub);
  obs_batch_fini(&pull);
  obs_batch_fini(&later);
}

/* ---- who goes first ---- */

/* Whose batches came back, in order: their owners' letters. */
static char in_order[16];

static void on_done_in_order(obs_batch *b) {
  in_order[strlen(in_order)] = "psrht"[b->transport] - (b->pipelined ? 'a' - 'A' : 0);
  on_done(b);
}

static void submit_as(setup *s, obs_batch *b, obs_transport transport, bool pipelined, bool more) {
  static const char json[] = "{\"endpoint\":\"/a\"}";
  const obs_op_limits limits = OBS_LIMITS_DEFAULT;
  assert_int_equal(obs_batch_init(b), OBSERVER_E_OK);
  b->data = (const uint8_t *)json;
  b->size = sizeof(json) - 1;
  b->transport = transport;
  b->pipelined = pipelined;
  b->more = more;
  b->owner = s;
  b->done = on_done_in_order;
  obs_batch_decode(b, OBS_FORMAT_ANY, &limits, obs_clock_wall_ms());
  assert_int_equal(obs_commit_submit(s->c, b), OBSERVER_E_OK);
}

/* Who waits for each answer goes before those that ask and ask, and these before those that nobody waits for; however
 * much they ask, there is room for who waits. */
static void test_who_waits_for_each_answer_goes_first(void **state) {
  (void)state;
  setup s = {0};
  static obs_batch batches[SHARE_BATCHES];
  obs_batch first[6];
  unsigned n = 0;
  const obs_state_opts state_opts = OBS_STATE_OPTS_DEFAULT;
  assert_int_equal(obs_state_open(&state_opts, &s.state), OBSERVER_E_OK);
  obs_commit_opts opts = {.state = s.state, .queue_bytes = 1 << 20};
  assert_int_equal(obs_commit_open(&opts, &s.c), OBSERVER_E_OK);
  memset(in_order, 0, sizeof(in_order));
  submit_as(&s, &first[0], OBS_TRANSPORT_PULL, false, false);
  submit_as(&s, &first[1], OBS_TRANSPORT_REP, true, true);
  submit_as(&s, &first[2], OBS_TRANSPORT_REP, false, true);
  submit_as(&s, &first[3], OBS_TRANSPORT_SUB, false, false);
  submit_as(&s, &first[4], OBS_TRANSPORT_REP, true, true);
  submit_as(&s, &first[5], OBS_TRANSPORT_HTTP, false, false);
  assert_int_equal(obs_commit_start(s.c), OBSERVER_E_OK);
  wait_done(&s, 6);
  assert_string_equal(in_order, "rhRRps");
  obs_commit_stop(s.c, 1000);
  obs_commit_close(s.c);

  assert_int_equal(obs_commit_open(&opts, &s.c), OBSERVER_E_OK);
  for (obs_batch *b = batches; submit_so(s.c, b, OBS_TRANSPORT_REP, true, &s) == OBSERVER_E_OK; b++)
    assert_true(++n < SHARE_BATCHES);
  size_t held = n * obs_batch_bytes(&batches[0]);
  assert_true(held >= opts.queue_bytes / 100 * 50 && held < opts.queue_bytes * 52 / 100);
  obs_batch_fini(&batches[n]);
  obs_batch_fini(&first[0]);
  assert_int_equal(submit_one(s.c, &first[0], OBS_TRANSPORT_REP, &s), OBSERVER_E_OK);
  assert_int_equal(obs_commit_start(s.c), OBSERVER_E_OK);
  wait_done(&s, 6 + n + 1);
  obs_commit_stop(s.c, 1000);
  obs_commit_close(s.c);
  obs_state_close(s.state);
  for (unsigned i = 0; i < n; i++) obs_batch_fini(&batches[i]);
  for (unsigned i = 0; i < 6; i++) obs_batch_fini(&first[i]);
}

/* The thread sleeps until the last of those that follow each other; when that one goes another way, until it is told.
 */
static void test_more_to_follow(void **state) {
  (void)state;
  setup s = {0};
  obs_batch b[4];
  const obs_state_opts state_opts = OBS_STATE_OPTS_DEFAULT;
  assert_int_equal(obs_state_open(&state_opts, &s.state), OBSERVER_E_OK);
  obs_commit_opts opts = {.state = s.state};
  assert_int_equal(obs_commit_open(&opts, &s.c), OBSERVER_E_OK);
  assert_int_equal(obs_commit_start(s.c), OBSERVER_E_OK);
  memset(in_order, 0, sizeof(in_order));
  submit_as(&s, &b[0], OBS_TRANSPORT_REP, false, true);
  submit_as(&s, &b[1], OBS_TRANSPORT_REP, true, false);
  wait_done(&s, 2);
  submit_as(&s, &b[2], OBS_TRANSPORT_REP, false, true);
  obs_commit_wake(s.c);
  wait_done(&s, 3);
  submit_as(&s, &b[3], OBS_TRANSPORT_REP, false, true);
  obs_commit_stop(s.c, 1000); /* wakes it, too */
  assert_int_equal(atomic_load(&s.done), 4);
  obs_commit_close(s.c);
  obs_state_close(s.state);
  for (unsigned i = 0; i < 4; i++) obs_batch_fini(&b[i]);
}

/* ---- followers ---- */

/* What it was given, as text: `1 2 3` live, `(4)` in replay, `[3]` loaded. */
typedef struct {
  char seen[256];
  uint64_t last;
  observer_err load;
} diary;

static void note(diary *d, const char *format, uint64_t n) {
  size_t at = strlen(d->seen);
  snprintf(d->seen + at, sizeof(d->seen) - at, format, (unsigned)n);
  d->last = n;
}

static void diary_apply(void *arg, obs_batch *b, uint64_t first_seq, int64_t now_ms) {
  assert_true(now_ms > 0);
  for (uint32_t i = 0; i < b->nops; i++) {
    if (!b->lines[i].duplicate) note(arg, "%u ", first_seq++);
  }
}

static void diary_apply_row(void *arg, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq, int64_t now_ms) {
  (void)unknown;
  assert_true(op->time_ms <= now_ms);
  note(arg, "(%u) ", seq);
}

static observer_err diary_save(void *arg, obs_buf *out) {
  obs_buf_append(out, &((diary *)arg)->last, sizeof(uint64_t));
  return OBSERVER_E_OK;
}

static observer_err diary_load(void *arg, const void *data, size_t len) {
  diary *d = arg;
  uint64_t last;
  if (d->load != OBSERVER_E_OK) return d->load;
  assert_int_equal(len, sizeof(last));
  memcpy(&last, data, sizeof(last));
  note(d, "[%u] ", last);
  return OBSERVER_E_OK;
}

/* The blob of the checkpoint as version 1 had it: two of its parts. */
static void make_version_1(setup *s) {
  obs_journal_opts opts = {.dir = s->f->dir};
  obs_journal *j;
  obs_buf blob = {0}, old = {0};
  char text[256];
  uint64_t seq, bytes[2];
  uint32_t head[2];
  enum { HEAD = 8, PART = 32, BYTES = 24 };
  assert_int_equal(obs_journal_open(&opts, &j, text, sizeof(text)), OBSERVER_E_OK);
  assert_int_equal(obs_journal_checkpoint_load(j, &seq, &blob), OBSERVER_E_OK);
  memcpy(head, blob.p, sizeof(head));
  assert_int_equal(head[0], 2);
  for (uint32_t i = 0; i < 2; i++) memcpy(&bytes[i], blob.p + HEAD + i * PART + BYTES, sizeof(bytes[i]));
  uint32_t old_head[2] = {1, (uint32_t)bytes[0]};
  obs_buf_append(&old, old_head, sizeof(old_head));
  obs_buf_append(&old, blob.p + HEAD + head[1] * PART, bytes[0] + bytes[1]);
  assert_int_equal(save_checkpoint(j, seq, old.p, old.len), OBSERVER_E_OK);
  obs_journal_close(j);
  obs_buf_fini(&blob);
  obs_buf_fini(&old);
}

/* One life: three ops, of which one is a duplicate in every life but the first. */
static void live_once(setup *s, diary *kept, diary *plain, const char *want_kept, const char *want_plain) {
  obs_batch b;
  obs_commit_follower followers[] = {
      {.name = "kept",
       .version = 1,
       .arg = kept,
       .apply = diary_apply,
       .apply_row = diary_apply_row,
       .save = diary_save,
       .load = diary_load},
      {.name = "plain", .arg = plain, .apply = diary_apply, .apply_row = diary_apply_row},
      {.name = "silent"},
  };
  s->followers = followers;
  s->nfollowers = 3;
  kept->seen[0] = plain->seen[0] = '\0';
  atomic_store(&s->done, 0);
  open_all(s, OBS_FSYNC_ALWAYS);
  submit(s, &b, OBS_TRANSPORT_REP,
         "[{\"endpoint\":\"/a\"},{\"endpoint\":\"/b\",\"op_id\":\"b\"},{\"endpoint\":\"/c\"}]");
  wait_done(s, 1);
  close_all(s);
  obs_batch_fini(&b);
  assert_string_equal(kept->seen, want_kept);
  assert_string_equal(plain->seen, want_plain);
}

static void test_followers(void **state) {
  setup s = {.f = *state};
  diary kept = {.load = OBSERVER_E_OK}, plain = {.load = OBSERVER_E_OK};
  atomic_store(&disk_fails, false);
  live_once(&s, &kept, &plain, "1 2 3 ", "1 2 3 ");
  live_once(&s, &kept, &plain, "[3] 4 5 ", "(1) (2) (3) 4 5 ");
  kept.load = OBSERVER_E_CORRUPT;
  live_once(&s, &kept, &plain, "(1) (2) (3) (4) (5) 6 7 ", "(1) (2) (3) (4) (5) 6 7 ");
  kept.load = OBSERVER_E_OK;
  make_version_1(&s);
  live_once(&s, &kept, &plain, "(1) (2) (3) (4) (5) (6) (7) 8 9 ", "(1) (2) (3) (4) (5) (6) (7) 8 9 ");
  live_once(&s, &kept, &plain, "[9] 10 11 ", "(1) (2) (3) (4) (5) (6) (7) (8) (9) 10 11 ");
}

/* [0]: rows; [1]: the last one's seq. */
static void count_row(void *arg, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq, int64_t now_ms) {
  (void)unknown;
  uint64_t *seen = arg;
  (void)now_ms;
  assert_int_equal(op->output_summary.len, 1000);
  seen[0]++;
  seen[1] = seq;
}

static observer_err save_seen(void *arg, obs_buf *out) {
  const uint64_t *seen = arg;
  obs_buf_append(out, &seen[1], sizeof(seen[1]));
  return OBSERVER_E_OK;
}

static observer_err load_seen(void *arg, const void *data, size_t len) {
  uint64_t *seen = arg;
  assert_int_equal(len, sizeof(seen[1]));
  memcpy(&seen[1], data, len);
  return OBSERVER_E_OK;
}

static observer_err load_seen_former(void *arg, const void *data, size_t len) {
  uint64_t *seen = arg;
  observer_err err = load_seen(arg, data, len);
  seen[1] *= 10;
  return err;
}

/* One that keeps nothing gets as many rows as it asks for, more than the ring holds. */
static void test_follower_rows(void **state) {
  uint64_t seen[2] = {0};
  obs_commit_follower follower = {.name = "rows", .arg = seen, .apply_row = count_row, .rows = 2500};
  setup s = {.f = *state, .followers = &follower, .nfollowers = 1};
  enum { ROWS = 3000, GROUP = 500 }; /* the journal finds groups of a MiB */
  char *text = NULL;
  size_t len = 0;
  FILE *out = open_memstream(&text, &len);
  assert_non_null(out);
  for (int i = 0; i < GROUP; i++) fprintf(out, "{\"endpoint\":\"/row\",\"output_summary\":\"%01000d\"}\n", i);
  assert_int_equal(fclose(out), 0);
  atomic_store(&disk_fails, false);
  open_all(&s, OBS_FSYNC_ALWAYS);
  for (unsigned n = 1; n <= ROWS / GROUP; n++) {
    obs_batch b;
    submit(&s, &b, OBS_TRANSPORT_REP, text);
    wait_done(&s, n);
    obs_batch_fini(&b);
  }
  close_all(&s);
  free(text);
  assert_int_equal(seen[0], 0);
  open_all(&s, OBS_FSYNC_ALWAYS);
  close_all(&s);
  assert_in_range(seen[0], 2500, ROWS);
  assert_int_equal(seen[1], ROWS);
  memset(seen, 0, sizeof(seen));
  follower.rows = 0;
  open_all(&s, OBS_FSYNC_ALWAYS);
  close_all(&s);
  assert_in_range(seen[0], 2000, 2499);

  /* One that is optional: for a lack of its part no more is read, and one of the version before will do. */
  memset(seen, 0, sizeof(seen));
  follower = (obs_commit_follower){.name = "optional",
                                   .version = 1,
                                   .arg = seen,
                                   .apply_row = count_row,
                                   .save = save_seen,
                                   .load = load_seen,
                                   .optional = true};
  open_all(&s, OBS_FSYNC_ALWAYS);
  assert_in_range(seen[0], 2000, 2499); /* the ring's */
  memset(seen, 0, sizeof(seen));
  seen[1] = 7;
  obs_commit_checkpoint(s.c);
  close_all(&s);
  follower.version = 2;
  follower.former = 1;
  follower.load_former = load_seen_former;
  open_all(&s, OBS_FSYNC_ALWAYS);
  assert_int_equal(seen[0], 0);
  assert_int_equal(seen[1], 70);
  obs_commit_checkpoint(s.c);
  close_all(&s);
  open_all(&s, OBS_FSYNC_ALWAYS);
  assert_int_equal(seen[1], 70);
  close_all(&s);
}

/* What a start says of the checkpoint, with that follower. */
static observer_err recover_only(setup *s, char newer[OBS_COMMIT_NEWER]) {
  char text[256];
  const obs_state_opts state_opts = OBS_STATE_OPTS_DEFAULT;
  const obs_journal_opts journal_opts = {.dir = s->f->dir};
  obs_commit_recovered recovered;
  assert_int_equal(obs_journal_open(&journal_opts, &s->f->j, text, sizeof(text)), OBSERVER_E_OK);
  assert_int_equal(obs_state_open(&state_opts, &s->state), OBSERVER_E_OK);
  obs_commit_opts opts = {
      .journal = s->f->j, .state = s->state, .followers = s->followers, .nfollowers = s->nfollowers};
  assert_int_equal(obs_commit_open(&opts, &s->c), OBSERVER_E_OK);
  observer_err err = obs_commit_recover(s->c, &recovered);
  memcpy(newer, recovered.newer, OBS_COMMIT_NEWER);
  close_all(s); /* which writes no checkpoint: the thread was not started */
  return err;
}

/* What a newer version wrote is neither thrown away nor taken for something else. */
static void test_newer_checkpoint(void **state) {
  diary kept = {.load = OBSERVER_E_OK};
  obs_commit_follower follower = {.name = "kept",
                                  .version = 3,
                                  .arg = &kept,
                                  .apply = diary_apply,
                                  .apply_row = diary_apply_row,
                                  .save = diary_save,
                                  .load = diary_load};
  setup s = {.f = *state, .followers = &follower, .nfollowers = 1};
  char newer[OBS_COMMIT_NEWER];
  obs_batch b;
  atomic_store(&disk_fails, false);
  open_all(&s, OBS_FSYNC_ALWAYS);
  submit(&s, &b, OBS_TRANSPORT_REP, "[{\"endpoint\":\"/a\"},{\"endpoint\":\"/b\"}]");
  wait_done(&s, 1);
  close_all(&s);
  obs_batch_fini(&b);

  follower.version = 2;
  assert_int_equal(recover_only(&s, newer), OBSERVER_E_NEWER);
  assert_string_equal(newer,
                      "its part kept is of version 3, and observerd " OBSERVER_VERSION " knows versions up to 2");
  follower.version = 3;
  kept.load = OBSERVER_E_NEWER;
  assert_int_equal(recover_only(&s, newer), OBSERVER_E_NEWER);
  assert_string_equal(newer, "its part kept is of a later version than observerd " OBSERVER_VERSION " knows");

  kept.load = OBSERVER_E_OK;
  kept.seen[0] = '\0';
  assert_int_equal(recover_only(&s, newer), OBSERVER_E_OK);
  assert_string_equal(newer, "");
  assert_string_equal(kept.seen, "[2] "); /* the checkpoint is as it was */
}

int main(void) {
  obs_log_setup(OBS_LOG_ERROR, OBS_LOG_TEXT);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_interval_records_once, make, clear),
      cmocka_unit_test_setup_teardown(test_always_holds_and_resumes, make, clear),
      cmocka_unit_test_setup_teardown(test_stop_gives_up, make, clear),
      cmocka_unit_test_setup_teardown(test_wanted_checkpoint_waits, make, clear),
      cmocka_unit_test_setup_teardown(test_kinds, make, clear),
      cmocka_unit_test_setup_teardown(test_followers, make, clear),
      cmocka_unit_test(test_best_effort_yields),
      cmocka_unit_test(test_hold),
      cmocka_unit_test(test_who_waits_for_each_answer_goes_first),
      cmocka_unit_test(test_more_to_follow),
      cmocka_unit_test_setup_teardown(test_follower_rows, make, clear),
      cmocka_unit_test_setup_teardown(test_newer_checkpoint, make, clear),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
