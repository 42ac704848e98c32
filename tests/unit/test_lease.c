/* Leases, one worker at a time: what the bucket says goes in, actions come out. Many at once: test_lease_fleet.c. */
#include "fleet/lease.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { PARTITIONS = 10 };
enum { ME = 1, MY_RUN = 101 };

typedef struct {
  obs_lease *l;
  uint64_t now, revision;
  obs_lease_action out[OBS_LEASE_TURN];
} world;

static world start(void) {
  const obs_lease_opts opts = {PARTITIONS, ME, MY_RUN};
  world w = {.l = obs_lease_open(&opts), .now = 5000000};
  assert_non_null(w.l);
  obs_lease_set_takes(w.l, true);
  return w;
}

/* Writes this worker's heartbeat when it is due, and sees it. */
static void beat(world *w) {
  if (!obs_lease_is_due(w->l, w->now)) return;
  obs_lease_beat(w->l, w->now, ++w->revision);
  assert_int_equal(obs_lease_see_worker(w->l, w->now, ME, MY_RUN, true, w->revision), OBSERVER_E_OK);
}

static void see_other(world *w, uint64_t worker, uint64_t run) {
  assert_int_equal(obs_lease_see_worker(w->l, w->now, worker, run, true, ++w->revision), OBSERVER_E_OK);
}

/* Lets time pass; of the others, those in `alive` go on. */
static void pass(world *w, uint64_t ms, const uint64_t *alive) {
  for (uint64_t end = w->now + ms; w->now < end; w->now += 500) {
    for (const uint64_t *a = alive; a != NULL && *a != 0; a++) see_other(w, *a, 100 + *a);
    beat(w);
  }
}

static uint32_t turn(world *w) {
  return obs_lease_turn(w->l, w->now, w->out);
}

/* A turn in which every action succeeds. */
static uint32_t act(world *w) {
  uint32_t n = turn(w);
  for (uint32_t i = 0; i < n; i++) {
    if (w->out[i].kind == OBS_LEASE_TAKE)
      obs_lease_took(w->l, w->out[i].partition, ++w->revision);
    else
      obs_lease_gave(w->l, w->out[i].partition, ++w->revision);
  }
  return n;
}

static obs_lease_counts counts(const world *w) {
  obs_lease_counts c;
  obs_lease_get_counts(w->l, w->now, &c);
  return c;
}

static void one_alone_takes_all(void **unused) {
  (void)unused;
  world w = start();
  assert_int_equal(turn(&w), 0); /* nothing is known yet */
  beat(&w);
  assert_int_equal(turn(&w), 0); /* others may come with it */
  pass(&w, 3500, NULL);
  assert_int_equal(act(&w), PARTITIONS);
  for (uint32_t i = 0; i < PARTITIONS; i++) {
    assert_int_equal(w.out[i].kind, OBS_LEASE_TAKE);
    assert_int_equal(w.out[i].partition, i);
    assert_int_equal(w.out[i].revision, 0);
    assert_true(obs_lease_holds(w.l, i));
  }
  assert_int_equal(act(&w), 0);
  assert_int_equal(counts(&w).held, PARTITIONS);
  assert_int_equal(counts(&w).workers, 1);
  obs_lease_close(w.l);
}

static void one_that_comes_gets_its_share(void **unused) {
  (void)unused;
  static const uint64_t others[] = {2, 0};
  world w = start();
  beat(&w);
  pass(&w, 3500, NULL);
  act(&w);
  see_other(&w, 2, 102);
  assert_int_equal(turn(&w), 0); /* not before it has been quiet */
  pass(&w, 3500, others);
  assert_int_equal(turn(&w), PARTITIONS / 2);
  assert_int_equal(w.out[0].kind, OBS_LEASE_GIVE);
  assert_int_equal(counts(&w).giving, PARTITIONS / 2);
  /* It takes as long as it takes; nothing more is given up, or taken back, meanwhile. */
  obs_lease_action given[OBS_LEASE_TURN];
  for (int i = 0; i < PARTITIONS / 2; i++) given[i] = w.out[i];
  pass(&w, 20000, others);
  assert_int_equal(turn(&w), 0);
  for (int i = 0; i < PARTITIONS / 2; i++) {
    assert_false(obs_lease_holds(w.l, given[i].partition));
    obs_lease_gave(w.l, given[i].partition, ++w.revision);
    assert_int_equal(turn(&w), 0);
    obs_lease_see(w.l, given[i].partition, 102, ++w.revision);
  }
  pass(&w, 20000, others);
  assert_int_equal(turn(&w), 0);
  assert_int_equal(counts(&w).held, PARTITIONS / 2);
  assert_int_equal(counts(&w).given, PARTITIONS / 2);
  assert_int_equal(counts(&w).lost, 0);
  /* It dies: not before its time is what it held taken over. */
  pass(&w, 9000, NULL);
  assert_int_equal(turn(&w), 0);
  pass(&w, 4000, NULL);
  assert_int_equal(act(&w), PARTITIONS / 2);
  assert_int_equal(counts(&w).held, PARTITIONS);
  obs_lease_close(w.l);
}

static void one_that_stops_is_not_waited_for(void **unused) {
  (void)unused;
  world w = start();
  see_other(&w, 2, 102);
  for (uint32_t i = 0; i < PARTITIONS; i++) obs_lease_see(w.l, i, 102, ++w.revision);
  static const uint64_t others[] = {2, 0};
  pass(&w, 4000, others);
  assert_int_equal(turn(&w), 0);
  for (uint32_t i = 0; i < PARTITIONS; i++) obs_lease_see(w.l, i, 0, ++w.revision);
  obs_lease_see_stopped(w.l, w.now, 2);
  assert_int_equal(act(&w), PARTITIONS);
  obs_lease_close(w.l);
}

static void the_lowest_of_those_that_would_leads(void **unused) {
  (void)unused;
  static const uint64_t others[] = {2, 3, 0};
  world w = start();
  pass(&w, 4000, others);
  for (uint32_t i = 0; i < PARTITIONS; i++) obs_lease_see(w.l, i, i < 3 ? 102 : i < 6 ? 103 : 0, ++w.revision);
  pass(&w, 4000, others);
  (void)act(&w);
  assert_true(obs_lease_holds(w.l, 6));
  assert_false(obs_lease_leads(w.l, w.now)); /* it would not */
  obs_lease_set_leads(w.l, true);
  assert_true(obs_lease_would_lead(w.l));
  obs_lease_see_leads(w.l, 3, true);
  assert_false(obs_lease_leads(w.l, w.now));
  pass(&w, 500, others); /* with a heartbeat that does not say so, it would not */
  assert_true(obs_lease_leads(w.l, w.now));
  obs_lease_see(w.l, 1, 0, ++w.revision); /* while one changes hands nobody begins to */
  assert_false(obs_lease_leads(w.l, w.now));
  obs_lease_see(w.l, 1, 102, ++w.revision);
  assert_true(obs_lease_leads(w.l, w.now));
  assert_true(obs_lease_is_run_alive(w.l, 102));
  assert_false(obs_lease_is_run_alive(w.l, 999));
  assert_false(obs_lease_leads(w.l, w.now + OBS_LEASE_HOLD_MS + 5000)); /* it could not say that it is alive */
  obs_lease_see_stopped(w.l, w.now, 2);
  assert_false(obs_lease_is_run_alive(w.l, 102));
  obs_lease_close(w.l);
}

/* Behind a pause the others look as if they had been silent: what the bucket says is read first. */
static void a_pause_makes_nobody_dead(void **unused) {
  (void)unused;
  static const uint64_t others[] = {2, 0};
  world w = start();
  see_other(&w, 2, 102);
  for (uint32_t i = 0; i < PARTITIONS; i++) obs_lease_see(w.l, i, i % 2 == 0 ? 102 : 0, ++w.revision);
  pass(&w, 4000, others);
  assert_int_equal(act(&w), PARTITIONS / 2);
  w.now += 60000;
  assert_false(obs_lease_is_valid(w.l, w.now));
  assert_int_equal(turn(&w), 0);
  /* The bucket was away for all: this one is back first. */
  beat(&w);
  assert_true(obs_lease_is_valid(w.l, w.now));
  assert_int_equal(turn(&w), 0);
  pass(&w, 8000, NULL);
  assert_int_equal(turn(&w), 0);
  pass(&w, 6000, NULL);
  assert_int_equal(act(&w), PARTITIONS / 2); /* the other one did not come back */
  assert_int_equal(counts(&w).workers, 1);
  /* Who is dead stays so. */
  w.now += 60000;
  beat(&w);
  assert_int_equal(counts(&w).workers, 1);
  obs_lease_close(w.l);
}

static void heartbeats_that_do_not_come_back_prove_nothing(void **unused) {
  (void)unused;
  static const uint64_t others[] = {2, 0};
  world w = start();
  see_other(&w, 2, 102);
  for (uint32_t i = 0; i < PARTITIONS; i++) obs_lease_see(w.l, i, 102, ++w.revision);
  pass(&w, 4000, others);
  for (int i = 0; i < 60; i++, w.now += 1000) { /* it writes, and sees nothing */
    if (obs_lease_is_due(w.l, w.now)) obs_lease_beat(w.l, w.now, ++w.revision);
    assert_true(obs_lease_is_valid(w.l, w.now));
    assert_int_equal(turn(&w), 0);
  }
  obs_lease_close(w.l);
}

static void a_holder_stops_in_time(void **unused) {
  (void)unused;
  world w = start();
  beat(&w);
  pass(&w, 3500, NULL);
  act(&w);
  uint64_t last = w.now;
  while (obs_lease_is_valid(w.l, w.now)) w.now += 10;
  assert_in_range(w.now - last, 1, OBS_LEASE_HOLD_MS);
  assert_int_equal(turn(&w), 0);
  /* Nobody took it: it goes on, but not before it knows. */
  obs_lease_beat(w.l, w.now, ++w.revision);
  assert_false(obs_lease_is_valid(w.l, w.now));
  assert_int_equal(obs_lease_see_worker(w.l, w.now, ME, MY_RUN, true, w.revision), OBSERVER_E_OK);
  assert_true(obs_lease_is_valid(w.l, w.now));
  assert_int_equal(counts(&w).held, PARTITIONS);
  /* Somebody did. */
  obs_lease_see(w.l, 3, 102, ++w.revision);
  assert_false(obs_lease_holds(w.l, 3));
  assert_int_equal(counts(&w).lost, 1);
  obs_lease_close(w.l);
}

static void an_answer_that_was_lost(void **unused) {
  (void)unused;
  world w = start();
  beat(&w);
  pass(&w, 3500, NULL);
  assert_int_equal(turn(&w), PARTITIONS);
  for (uint32_t i = 1; i < PARTITIONS; i++) obs_lease_took(w.l, i, ++w.revision);
  obs_lease_see(w.l, 0, MY_RUN, ++w.revision); /* it was written all the same */
  assert_false(obs_lease_holds(w.l, 0));
  assert_int_equal(act(&w), 1);
  assert_int_equal(w.out[0].partition, 0);
  assert_true(obs_lease_holds(w.l, 0));
  /* A checkpoint that was written. */
  obs_lease_see(w.l, 4, MY_RUN, ++w.revision);
  assert_true(obs_lease_holds(w.l, 4));
  assert_int_equal(obs_lease_revision(w.l, 4), w.revision);
  /* What was seen late is not believed. */
  obs_lease_kept(w.l, 4, w.revision += 10);
  obs_lease_see(w.l, 4, 102, w.revision - 5);
  assert_true(obs_lease_holds(w.l, 4));
  /* One that was refused. */
  obs_lease_lost(w.l, 4);
  assert_false(obs_lease_holds(w.l, 4));
  obs_lease_see(w.l, 4, 102, ++w.revision);
  see_other(&w, 2, 102);
  assert_int_equal(counts(&w).lost, 1);
  assert_int_equal(turn(&w), 0);
  /* A heartbeat that was written, though its answer was lost: the next one knows its revision. */
  assert_int_equal(obs_lease_see_worker(w.l, w.now, ME, MY_RUN, true, ++w.revision), OBSERVER_E_OK);
  assert_int_equal(obs_lease_beat_revision(w.l), w.revision);
  obs_lease_close(w.l);
}

static void another_process_with_its_data(void **unused) {
  (void)unused;
  world w = start();
  /* An earlier run's heartbeat is no rival: what it held is free. */
  assert_int_equal(obs_lease_see_worker(w.l, w.now, ME, 77, true, ++w.revision), OBSERVER_E_OK);
  for (uint32_t i = 0; i < PARTITIONS; i++) obs_lease_see(w.l, i, 77, ++w.revision);
  pass(&w, 4000, NULL);
  assert_int_equal(act(&w), PARTITIONS);
  /* A later one is. */
  assert_int_equal(obs_lease_see_worker(w.l, w.now, ME, 78, true, ++w.revision), OBSERVER_E_OK);
  assert_false(obs_lease_is_valid(w.l, w.now));
  assert_false(obs_lease_is_due(w.l, w.now + 60000));
  assert_int_equal(turn(&w), 0);
  obs_lease_close(w.l);
}

static void what_takes_no_part_gets_nothing(void **unused) {
  (void)unused;
  world w = start();
  for (int i = 0; i < 10; i++, w.now += 1000) {
    assert_int_equal(obs_lease_see_worker(w.l, w.now, 2, 102, false, ++w.revision), OBSERVER_E_OK);
    beat(&w);
  }
  assert_int_equal(act(&w), PARTITIONS);
  obs_lease_set_takes(w.l, false);
  assert_int_equal(act(&w), PARTITIONS);
  assert_int_equal(w.out[0].kind, OBS_LEASE_GIVE);
  assert_int_equal(counts(&w).held, 0);
  assert_int_equal(act(&w), 0);
  obs_lease_close(w.l);
}

static void a_stop_gives_all_up(void **unused) {
  (void)unused;
  world w = start();
  beat(&w);
  pass(&w, 3500, NULL);
  act(&w);
  assert_int_equal(obs_lease_leave(w.l, w.out), PARTITIONS);
  assert_true(obs_lease_gives(w.l, 0));
  assert_true(obs_lease_gives(w.l, 1));
  obs_lease_see(w.l, 1, 0, ++w.revision); /* it was, and is heard of first */
  assert_false(obs_lease_gives(w.l, 1));
  obs_lease_gave(w.l, 1, w.revision);
  assert_int_equal(counts(&w).given, 1);
  assert_int_equal(counts(&w).lost, 0);
  obs_lease_close(w.l);
}

static void a_bucket_that_is_made_anew(void **unused) {
  (void)unused;
  world w = start();
  beat(&w);
  pass(&w, 3500, NULL);
  act(&w);
  obs_lease_forget(w.l);
  w.revision = 0;
  assert_int_equal(counts(&w).held, 0);
  assert_int_equal(obs_lease_beat_revision(w.l), 0);
  beat(&w);
  pass(&w, 3500, NULL);
  assert_int_equal(act(&w), PARTITIONS);
  assert_int_equal(w.out[0].revision, 0);
  obs_lease_close(w.l);
}

/* Servers were killed and have lost the last writes they had acknowledged, before this worker saw them come back. */
static void its_heartbeat_was_lost_with_the_servers(void **unused) {
  (void)unused;
  world w = start();
  beat(&w);
  pass(&w, 3500, NULL);
  act(&w);
  uint64_t kept = obs_lease_beat_revision(w.l);
  w.now += OBS_LEASE_BEAT_MS;
  obs_lease_beat(w.l, w.now, kept + 20); /* not seen, and lost */
  obs_lease_reread(w.l);
  assert_int_equal(obs_lease_beat_revision(w.l), 0);
  for (uint32_t i = 0; i < PARTITIONS; i++) obs_lease_see(w.l, i, MY_RUN, 2 + i);
  obs_lease_see_worker(w.l, w.now, ME, MY_RUN, true, kept);
  assert_int_equal(obs_lease_beat_revision(w.l), kept);
  assert_true(obs_lease_is_rereading(w.l));
  assert_int_equal(turn(&w), 0);
  assert_int_equal(counts(&w).held, PARTITIONS);
  w.revision = kept;
  pass(&w, 1000, NULL);
  assert_false(obs_lease_is_rereading(w.l));
  assert_true(obs_lease_is_valid(w.l, w.now));
  assert_int_equal(counts(&w).held, PARTITIONS);
  assert_int_equal(counts(&w).lost, 0);
  assert_int_equal(obs_lease_revision(w.l, 3), 5);
  obs_lease_close(w.l);
}

/* Of its partitions, takes were lost with the servers: one is another worker's again, one is nobody's. */
static void its_takes_were_lost_with_the_servers(void **unused) {
  (void)unused;
  const uint64_t other[] = {7, 0};
  world w = start();
  beat(&w);
  pass(&w, 3500, NULL);
  act(&w);
  uint64_t kept = w.revision;
  obs_lease_reread(w.l);
  obs_lease_see(w.l, 0, 107, 1);
  for (uint32_t i = 2; i < PARTITIONS; i++) obs_lease_see(w.l, i, MY_RUN, kept - i);
  assert_int_equal(obs_lease_revision(w.l, 1), 0);
  assert_true(obs_lease_holds(w.l, 1)); /* until all has been read */
  pass(&w, 1000, other);
  assert_false(obs_lease_holds(w.l, 0));
  assert_false(obs_lease_holds(w.l, 1));
  assert_int_equal(counts(&w).held, PARTITIONS - 2);
  assert_int_equal(counts(&w).lost, 2);
  pass(&w, 15000, NULL); /* the other one is dead */
  act(&w);
  assert_int_equal(counts(&w).held, PARTITIONS);
  obs_lease_close(w.l);
}

static void an_earlier_run_of_its_own_is_no_other_process(void **unused) {
  (void)unused;
  world w = start();
  w.revision = 50;
  beat(&w);
  pass(&w, 3500, NULL);
  obs_lease_reread(w.l);
  obs_lease_see_worker(w.l, w.now, ME, MY_RUN - 1, true, 9);
  assert_false(obs_lease_is_superseded(w.l));
  assert_int_equal(obs_lease_beat_revision(w.l), 9);
  pass(&w, 500, NULL);
  assert_true(obs_lease_is_valid(w.l, w.now));
  obs_lease_reread(w.l);
  obs_lease_see_worker(w.l, w.now, ME, MY_RUN + 1, true, w.revision + 1);
  assert_true(obs_lease_is_superseded(w.l));
  obs_lease_close(w.l);
}

static void as_many_workers_as_there_is_room_for(void **unused) {
  (void)unused;
  world w = start();
  for (uint64_t i = 0; i < OBS_LEASE_WORKERS; i++) see_other(&w, 10 + i, 1000000 + i);
  assert_int_equal(obs_lease_see_worker(w.l, w.now, 5, 6, true, ++w.revision), OBSERVER_E_FULL);
  pass(&w, 16000, NULL);
  see_other(&w, 5, 6); /* in the place of one that is dead */
  pass(&w, 500, NULL);
  assert_int_equal(counts(&w).workers, 2);
  obs_lease_close(w.l);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_alone_takes_all),
      cmocka_unit_test(one_that_comes_gets_its_share),
      cmocka_unit_test(one_that_stops_is_not_waited_for),
      cmocka_unit_test(the_lowest_of_those_that_would_leads),
      cmocka_unit_test(a_pause_makes_nobody_dead),
      cmocka_unit_test(heartbeats_that_do_not_come_back_prove_nothing),
      cmocka_unit_test(a_holder_stops_in_time),
      cmocka_unit_test(an_answer_that_was_lost),
      cmocka_unit_test(another_process_with_its_data),
      cmocka_unit_test(what_takes_no_part_gets_nothing),
      cmocka_unit_test(a_stop_gives_all_up),
      cmocka_unit_test(a_bucket_that_is_made_anew),
      cmocka_unit_test(its_heartbeat_was_lost_with_the_servers),
      cmocka_unit_test(its_takes_were_lost_with_the_servers),
      cmocka_unit_test(an_earlier_run_of_its_own_is_no_other_process),
      cmocka_unit_test(as_many_workers_as_there_is_room_for),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
