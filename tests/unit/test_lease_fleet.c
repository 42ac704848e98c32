/* 1,000 partitions and 200 workers over a made-up bucket: they come, are killed, cut off, stopped for longer than a
 * lease lasts, at the worst of times; their clocks run at different speeds; answers are lost. What must hold:
 *
 *   of each partition, checkpoints are a chain: one lands only on the one that its worker began with, or wrote itself;
 *   nobody folds what another one has taken over;
 *   it settles within a bound: all partitions held, all shares equal but for one;
 *   what moves is not much more than what must;
 *   hardly two write the same key at once, however many start together.
 *
 * Prints a row for each thing that happens. OBSERVER_SEED=N is another run. */
#include "fleet/lease.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PARTITIONS = 1000, WORKERS = 200, SLOTS = 400, STEP_MS = 50, CHECKPOINT_MS = 10000, SETTLE_MS = 60000 };

/* ---- the bucket: keys that are changed by compare-and-set, and the list of changes that readers follow ---- */

typedef struct {
  uint64_t run, revision;
  uint64_t checkpoint; /* the last one that landed */
  uint64_t taken;      /* and by which take of the partition it was written */
  uint64_t position;
} lease_key;

typedef struct {
  uint64_t worker, run, revision;
} beat_key;

typedef struct {
  uint64_t at_ms;
  uint32_t partition; /* PARTITIONS: a heartbeat */
  uint64_t worker, run;
} change;

typedef struct {
  bool up;
  uint64_t stopped_until_ms, cut_until_ms;
  double speed; /* of its clock */
  uint64_t offset_ms;
  uint64_t next_turn_ms, next_checkpoint_ms;
  uint64_t run;
  size_t read; /* of the bucket's changes */
  obs_lease *lease;
  /* Of each partition, what it would write. */
  uint64_t base[PARTITIONS]; /* the checkpoint that it was taken with */
  uint64_t position[PARTITIONS];
  uint64_t taken[PARTITIONS]; /* revision of the take; 0: never */
  /* A checkpoint that is under way: captured, not yet written. */
  bool under_way[PARTITIONS], giving[PARTITIONS], any_under_way;
  uint64_t expected[PARTITIONS];
} worker;

typedef struct {
  uint64_t now_ms, random, revision, runs, checkpoints;
  bool down; /* the bucket is away for all */
  lease_key leases[PARTITIONS];
  beat_key beats[SLOTS];
  change *changes;
  size_t nchanges, cap;
  worker *workers;
  uint64_t takes, conflicts, writes, landed, refused, stale_folds, moves;
  uint64_t last_folder[PARTITIONS];
} fleet;

static uint64_t draw(fleet *f, uint64_t below) {
  f->random ^= f->random << 13;
  f->random ^= f->random >> 7;
  f->random ^= f->random << 17;
  return (f->random >> 20) % below;
}

static void add_change(fleet *f, uint32_t partition, uint64_t id, uint64_t run) {
  if (f->nchanges == f->cap) {
    f->cap = f->cap == 0 ? 1 << 16 : f->cap * 2;
    f->changes = realloc(f->changes, f->cap * sizeof *f->changes);
    assert_non_null(f->changes);
  }
  f->changes[f->nchanges++] = (change){f->now_ms, partition, id, run};
  f->revision = f->nchanges;
}

static uint64_t local_ms(const fleet *f, const worker *w) {
  return w->offset_ms + (uint64_t)((double)f->now_ms * w->speed);
}

/* What a write comes to: not sent, or sent and its answer lost, while the worker is cut off or the bucket is away. */
typedef enum { DONE, CONFLICT, NO_ANSWER } outcome;

static bool is_reached(fleet *f, const worker *w, bool *answered) {
  bool cut = f->down || w->cut_until_ms > f->now_ms;
  *answered = !cut && draw(f, 500) != 0;
  return !cut || (!f->down && draw(f, 10) == 0);
}

static outcome write_lease(fleet *f, const worker *w, uint32_t p, uint64_t expected, uint64_t run) {
  bool answered, reached = is_reached(f, w, &answered);
  f->writes++;
  if (!reached) return NO_ANSWER;
  lease_key *k = &f->leases[p];
  bool same = k->revision == expected;
  if (same) {
    if (run != 0 && run != k->run) f->moves++;
    k->run = run;
    add_change(f, p, 0, run);
    k->revision = f->revision;
  }
  return !answered ? NO_ANSWER : same ? DONE : CONFLICT;
}

/* ---- a worker ---- */

static void start_worker(fleet *f, uint32_t slot) {
  worker *w = &f->workers[slot];
  obs_lease_close(w->lease);
  *w = (worker){.up = true, .speed = 0.95 + (double)draw(f, 1000) / 10000, .offset_ms = draw(f, 1000000000)};
  w->run = ++f->runs;
  const obs_lease_opts opts = {PARTITIONS, 1 + slot, w->run};
  w->lease = obs_lease_open(&opts);
  assert_non_null(w->lease);
  obs_lease_set_takes(w->lease, true);
  w->next_turn_ms = f->now_ms + draw(f, 1000);
  w->next_checkpoint_ms = f->now_ms + draw(f, CHECKPOINT_MS);
}

static void kill_worker(fleet *f, uint32_t slot) {
  f->workers[slot].up = false;
}

static void beat(fleet *f, uint32_t slot) {
  worker *w = &f->workers[slot];
  beat_key *k = &f->beats[slot];
  uint64_t begun_ms = local_ms(f, w);
  if (!obs_lease_is_due(w->lease, begun_ms)) return;
  bool answered, reached = is_reached(f, w, &answered);
  bool same = k->revision == obs_lease_beat_revision(w->lease);
  f->writes++;
  if (reached && same) {
    add_change(f, PARTITIONS, 1 + slot, w->run);
    k->run = w->run;
    k->revision = f->revision;
    if (answered) obs_lease_beat(w->lease, begun_ms, k->revision);
  }
}

/* Most have read all; some are behind. */
static void read_changes(fleet *f, worker *w) {
  if (f->down || w->cut_until_ms > f->now_ms) return;
  uint64_t behind_ms = draw(f, 10) == 0 ? draw(f, 2000) : 0;
  for (; w->read < f->nchanges && f->changes[w->read].at_ms + behind_ms <= f->now_ms; w->read++) {
    const change *c = &f->changes[w->read];
    if (c->partition < PARTITIONS)
      obs_lease_see(w->lease, c->partition, c->run, w->read + 1);
    else
      assert_int_equal(obs_lease_see_worker(w->lease, local_ms(f, w), c->worker, c->run, true, w->read + 1),
                       OBSERVER_E_OK);
  }
}

static void load(fleet *f, worker *w, uint32_t p) {
  w->base[p] = f->leases[p].checkpoint;
  w->position[p] = f->leases[p].position;
  w->taken[p] = f->leases[p].revision;
  w->under_way[p] = w->giving[p] = false;
}

static void take_turn(fleet *f, uint32_t slot) {
  worker *w = &f->workers[slot];
  beat(f, slot);
  read_changes(f, w);
  obs_lease_action out[OBS_LEASE_TURN];
  uint32_t n = obs_lease_turn(w->lease, local_ms(f, w), out);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t p = out[i].partition;
    if (out[i].kind == OBS_LEASE_GIVE) {
      w->giving[p] = true; /* written with its last checkpoint, a little later */
      continue;
    }
    f->takes++;
    switch (write_lease(f, w, p, out[i].revision, w->run)) {
    case DONE:
      obs_lease_took(w->lease, p, f->revision);
      load(f, w, p);
      break;
    case CONFLICT:
      f->conflicts++;
      obs_lease_lost(w->lease, p);
      break;
    case NO_ANSWER:
      break;
    }
  }
}

/* Folds a little of all it holds. */
static void fold(fleet *f, worker *w) {
  if (!obs_lease_is_valid(w->lease, local_ms(f, w))) return;
  for (uint32_t p = 0; p < PARTITIONS; p++) {
    if (!obs_lease_holds(w->lease, p) || w->taken[p] == 0) continue;
    w->position[p]++;
    if (f->leases[p].run != w->run) f->stale_folds++;
  }
}

/* It decides to write checkpoints now; a stop may come between that and the write. */
static void begin_checkpoints(fleet *f, worker *w) {
  bool due = f->now_ms >= w->next_checkpoint_ms;
  if (due) w->next_checkpoint_ms = f->now_ms + CHECKPOINT_MS;
  for (uint32_t p = 0; p < PARTITIONS; p++) {
    w->giving[p] &= obs_lease_gives(w->lease, p);
    if (w->under_way[p] || !(w->giving[p] || (due && obs_lease_holds(w->lease, p)))) continue;
    w->under_way[p] = w->any_under_way = true;
    w->expected[p] = obs_lease_revision(w->lease, p);
  }
}

/* A stop like SIGSTOP's, at the worst of times: all its checkpoints are decided on, and none is written. */
static void stop_worker(fleet *f, worker *w, uint64_t ms) {
  w->next_checkpoint_ms = f->now_ms;
  begin_checkpoints(f, w);
  w->stopped_until_ms = f->now_ms + ms;
}

static void end_checkpoint(fleet *f, worker *w, uint32_t p) {
  lease_key *k = &f->leases[p];
  bool gives = w->giving[p];
  uint64_t before = k->revision, id = ++f->checkpoints;
  outcome o = write_lease(f, w, p, w->expected[p], gives ? 0 : w->run);
  w->under_way[p] = false;
  w->giving[p] = gives && o == NO_ANSWER; /* tried again */
  if (k->revision != before) {            /* it landed */
    assert_true(k->checkpoint == w->base[p] || k->taken == w->taken[p]);
    assert_true(w->position[p] >= k->position);
    k->checkpoint = id;
    k->taken = w->taken[p];
    k->position = w->position[p];
    f->landed++;
  }
  if (o == DONE && gives)
    obs_lease_gave(w->lease, p, k->revision);
  else if (o == DONE)
    obs_lease_kept(w->lease, p, k->revision);
  else if (o == CONFLICT) {
    f->refused++;
    obs_lease_lost(w->lease, p);
  }
}

static void step(fleet *f) {
  f->now_ms += STEP_MS;
  for (uint32_t slot = 0; slot < SLOTS; slot++) {
    worker *w = &f->workers[slot];
    if (!w->up || w->stopped_until_ms > f->now_ms) continue;
    for (uint32_t p = 0; w->any_under_way && p < PARTITIONS; p++) {
      if (w->under_way[p]) end_checkpoint(f, w, p);
    }
    w->any_under_way = false;
    if (f->now_ms >= w->next_turn_ms) {
      take_turn(f, slot);
      fold(f, w);
      w->next_turn_ms = f->now_ms + 1000;
      begin_checkpoints(f, w);
    }
  }
}

/* ---- what is asked of it ---- */

static uint32_t count_up(const fleet *f) {
  uint32_t n = 0;
  for (uint32_t slot = 0; slot < SLOTS; slot++) n += f->workers[slot].up;
  return n;
}

/* Of each slot, what the bucket says it holds. Returns how many are held by nobody who lives. */
static uint32_t count_held(const fleet *f, uint32_t held[SLOTS]) {
  uint32_t unheld = 0;
  memset(held, 0, SLOTS * sizeof *held);
  for (uint32_t p = 0; p < PARTITIONS; p++) {
    uint32_t slot = 0;
    while (slot < SLOTS && !(f->workers[slot].up && f->workers[slot].run == f->leases[p].run)) slot++;
    if (slot == SLOTS)
      unheld++;
    else
      held[slot]++;
  }
  return unheld;
}

static bool is_settled(const fleet *f) {
  uint32_t held[SLOTS], n = count_up(f);
  if (count_held(f, held) > 0) return false;
  for (uint32_t slot = 0; slot < SLOTS; slot++) {
    const worker *w = &f->workers[slot];
    if (!w->up) continue;
    obs_lease_counts counts;
    obs_lease_get_counts(w->lease, local_ms(f, w), &counts);
    if (held[slot] < PARTITIONS / n || held[slot] > (PARTITIONS + n - 1) / n || counts.held != held[slot]) return false;
  }
  return true;
}

static int descending(const void *a, const void *b) {
  return (int)(*(const uint32_t *)b > *(const uint32_t *)a) - (int)(*(const uint32_t *)b < *(const uint32_t *)a);
}

/* The least that can move so that those who live have equal shares. */
static uint32_t least_moves(const fleet *f) {
  uint32_t held[SLOTS], of_up[SLOTS] = {0}, n = 0, moves = count_held(f, held);
  for (uint32_t slot = 0; slot < SLOTS; slot++) {
    if (f->workers[slot].up) of_up[n++] = held[slot];
  }
  qsort(of_up, n, sizeof *of_up, descending);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t target = PARTITIONS / n + (i < PARTITIONS % n);
    if (of_up[i] > target) moves += of_up[i] - target;
  }
  return moves;
}

static double print_row(fleet *f, const char *what, uint64_t since_ms, uint64_t moves, uint32_t least) {
  double seconds = (double)(f->now_ms - since_ms) / 1000;
  printf("%-52s workers %3" PRIu32 "  settled %5.1f s  moves %5" PRIu64 " (least %4" PRIu32 ")  takes refused %" PRIu64
         " of %" PRIu64 "  writes %5.0f/s  stale folds %" PRIu64 "\n",
         what, count_up(f), seconds, moves, least, f->conflicts, f->takes, (double)f->writes / seconds, f->stale_folds);
  return seconds;
}

/* Goes on until it has settled, and then for a while in which nothing may move. `least` may be known to be more than
 * it looks: who is cut off for longer than a lease must lose what it has and get as much again. */
static void settle(fleet *f, const char *what, uint64_t at_least_ms, uint32_t least) {
  uint64_t since_ms = f->now_ms, moves = f->moves;
  f->takes = f->conflicts = f->writes = 0;
  while (f->now_ms - since_ms < at_least_ms) step(f);
  while (!is_settled(f) && f->now_ms - since_ms < at_least_ms + SETTLE_MS) {
    for (int i = 0; i < 4; i++) step(f);
  }
  print_row(f, what, since_ms, f->moves - moves, least);
  assert_true(is_settled(f));
  assert_true(f->moves - moves <= least + least / 10);
  assert_true(f->conflicts <= 2 + f->takes / 20);
  moves = f->moves;
  for (uint64_t end_ms = f->now_ms + 60000; f->now_ms < end_ms;) step(f);
  assert_int_equal(f->moves, moves);
  assert_int_equal(f->stale_folds, 0);
}

static void start_many(fleet *f, uint32_t n) {
  for (uint32_t slot = 0; slot < SLOTS && n > 0; slot++) {
    if (f->workers[slot].up) continue;
    start_worker(f, slot);
    n--;
  }
}

static uint32_t some_up(fleet *f) {
  uint32_t slot;
  do slot = (uint32_t)draw(f, SLOTS);
  while (!f->workers[slot].up);
  return slot;
}

static fleet *make_fleet(void) {
  const char *seed = getenv("OBSERVER_SEED");
  fleet *f = calloc(1, sizeof *f);
  assert_non_null(f);
  f->workers = calloc(SLOTS, sizeof *f->workers);
  assert_non_null(f->workers);
  f->random = (seed != NULL ? strtoull(seed, NULL, 10) : 1) * UINT64_C(0x9e3779b97f4a7c15) + 1;
  f->now_ms = 1000;
  for (int i = 0; i < 10; i++) (void)draw(f, 2);
  return f;
}

static void free_fleet(fleet *f) {
  for (uint32_t slot = 0; slot < SLOTS; slot++) obs_lease_close(f->workers[slot].lease);
  free(f->workers);
  free(f->changes);
  free(f);
}

static void one_thing_after_another(void **unused) {
  (void)unused;
  fleet *f = make_fleet();
  start_many(f, WORKERS);
  settle(f, "200 start at once", 0, PARTITIONS);
  start_many(f, 1);
  settle(f, "one comes", 0, least_moves(f));
  kill_worker(f, some_up(f));
  settle(f, "one is killed", 0, least_moves(f));
  for (int i = 0; i < 50; i++) kill_worker(f, some_up(f));
  settle(f, "50 are killed at once", 0, least_moves(f));
  start_many(f, 50);
  settle(f, "50 come at once", 0, least_moves(f));
  for (int i = 0; i < 20; i++) {
    kill_worker(f, some_up(f));
    start_many(f, 1);
  }
  settle(f, "20 are killed, 20 come", 0, least_moves(f));
  for (int i = 0; i < 20; i++) f->workers[some_up(f)].cut_until_ms = f->now_ms + 4000;
  settle(f, "20 are cut off for 4 s", 5000, 0);
  for (int i = 0; i < 20; i++) stop_worker(f, &f->workers[some_up(f)], 4000);
  settle(f, "20 are stopped for 4 s", 5000, 0);
  for (int i = 0; i < 20; i++) f->workers[some_up(f)].cut_until_ms = f->now_ms + 40000;
  settle(f, "20 are cut off for 40 s", 41000, 20 * 5 * 2);
  uint64_t refused = f->refused;
  for (int i = 0; i < 20; i++) stop_worker(f, &f->workers[some_up(f)], 40000);
  settle(f, "20 are stopped for 40 s, about to write checkpoints", 41000, 20 * 5 * 2);
  assert_in_range(f->refused - refused, 50, 100); /* each partition's, but for those drawn twice */
  f->down = true;
  for (uint64_t end_ms = f->now_ms + 60000; f->now_ms < end_ms;) step(f);
  f->down = false;
  settle(f, "the bucket was away for 60 s", 10000, 0);
  for (uint32_t n = count_up(f); n > 3; n--) kill_worker(f, some_up(f));
  settle(f, "all but three are killed", 0, least_moves(f));
  printf("checkpoints: %" PRIu64 " landed, %" PRIu64 " refused\n", f->landed, f->refused);
  free_fleet(f);
}

/* Everything at once, for ten minutes: nothing needs to be equal meanwhile, but it must be right, and settle. */
static void all_at_once(void **unused) {
  (void)unused;
  fleet *f = make_fleet();
  start_many(f, WORKERS);
  uint64_t since_ms = f->now_ms;
  while (f->now_ms - since_ms < 600000) {
    step(f);
    uint32_t up = count_up(f);
    if (draw(f, 60) != 0) continue; /* one thing each 3 s */
    worker *w = &f->workers[some_up(f)];
    uint64_t ms = 500 + draw(f, 30000);
    switch (draw(f, 4)) {
    case 0:
      if (up > WORKERS / 2) kill_worker(f, some_up(f));
      break;
    case 1:
      if (up < WORKERS + 50) start_many(f, 1);
      break;
    case 2:
      w->cut_until_ms = f->now_ms + ms;
      break;
    default:
      stop_worker(f, w, ms);
      break;
    }
  }
  print_row(f, "ten minutes of all that, one each 3 s", since_ms, f->moves, PARTITIONS);
  assert_int_equal(f->stale_folds, 0);
  settle(f, "after it", 40000, PARTITIONS);
  printf("checkpoints: %" PRIu64 " landed, %" PRIu64 " refused\n", f->landed, f->refused);
  assert_true(f->refused > 0);
  free_fleet(f);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(one_thing_after_another), cmocka_unit_test(all_at_once)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
