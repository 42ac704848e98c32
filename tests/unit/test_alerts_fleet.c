/* The shipped rules on made-up fleets: days with noise, bursts, pauses at night and at weekends, sources of all
 * cadences; nobody is woken. Then with one cause planted: the right rule fires once, and ends. */
#include "alert_driver.h"

#include <math.h>

enum { ENDPOINTS = 14, SOURCES = 6, KINDS = 5, HOUR = 3600, DAY = 24 * HOUR };

typedef enum { NOTHING, FAILS, SLOW, SILENT, NEW_KIND } cause;

typedef struct {
  char name[24];
  unsigned source;
  double per_second, failing, typical_ms, spread;
} endpoint;

typedef struct {
  alert_driver d;
  uint64_t random;
  endpoint endpoints[ENDPOINTS];
  unsigned n;
  char sources[SOURCES][16];
  bool pauses[SOURCES]; /* at night */
  bool weekend;         /* the whole fleet pauses on two of seven days */
  cause cause;
  int64_t from_s, until_s; /* of the cause */
} fleet;

static double draw(fleet *f) {
  f->random ^= f->random << 13;
  f->random ^= f->random >> 7;
  f->random ^= f->random << 17;
  return (double)(f->random >> 11) / 9007199254740992.0;
}

static double normal(fleet *f) {
  return sqrt(-2 * log(draw(f) + 1e-12)) * cos(6.283185307 * draw(f));
}

static void make_fleet(fleet *f, uint64_t seed, bool all_pause) {
  memset(f, 0, sizeof(*f));
  f->random = seed * 0x9e3779b97f4a7c15 + 1;
  for (int i = 0; i < 8; i++) (void)draw(f);
  f->n = 5 + (unsigned)(draw(f) * (ENDPOINTS - 5));
  f->weekend = draw(f) < 0.5;
  for (unsigned s = 0; s < SOURCES; s++) {
    (void)snprintf(f->sources[s], sizeof(f->sources[s]), "source-%u", s);
    f->pauses[s] = all_pause || (s > 0 && draw(f) < 0.4);
  }
  for (unsigned i = 0; i < f->n; i++) {
    endpoint *e = &f->endpoints[i];
    (void)snprintf(e->name, sizeof(e->name), "/v1/e%u", i);
    e->source = i % SOURCES;
    e->per_second = pow(10, draw(f) * 2 - 2.3); /* one in 200 s to one in 2 s */
    e->failing = draw(f) < 0.3 ? 0 : draw(f) * 0.1;
    e->typical_ms = pow(10, 1 + draw(f) * 2.5);
    e->spread = 0.1 + draw(f);
  }
  f->endpoints[0].per_second = 0.5; /* the one that a cause is planted at */
  f->endpoints[0].failing = 0.02;
}

/* Whether the source works in that second of the fleet's life, which begins on a Monday at six. */
static bool works(const fleet *f, unsigned source, int64_t s) {
  int64_t day = s / DAY, hour = s % DAY / HOUR;
  if (f->weekend && day % 7 >= 5) return false;
  return !f->pauses[source] || hour < 15;
}

static void one_op(fleet *f, const endpoint *e, int64_t s) {
  bool planted = f->cause != NOTHING && e == &f->endpoints[0] && s >= f->from_s && s < f->until_s;
  if (planted && f->cause == SILENT) return;
  bool fails = draw(f) < (planted && f->cause == FAILS ? 0.6 : e->failing);
  double ms = e->typical_ms * exp(e->spread * normal(f));
  char error[80] = "";
  if (planted && f->cause == SLOW) ms *= 30;
  if (fails) (void)snprintf(error, sizeof(error), "%s of kind %c", e->name, 'a' + (int)(draw(f) * KINDS));
  if (planted && f->cause == NEW_KIND && draw(f) < 0.15) {
    fails = true;
    (void)snprintf(error, sizeof(error), "certificate has expired");
  }
  obs_op op = alert_op(&f->d, e->name, f->sources[e->source], !fails, ms < 1 ? 1 : (int64_t)ms, fails ? error : NULL);
  if (draw(f) < 0.001) op.time_ms -= 2 * OBS_OP_LATE_MS; /* a spool that is late */
  alert_give(&f->d, op, NULL);
}

static void live(fleet *f, int64_t seconds) {
  int64_t burst_until = 0, blip_until = 0;
  unsigned bursting = 0, blipping = 0;
  double failing = 0;
  for (int64_t s = 0; s < seconds; s++) {
    if (s >= burst_until && draw(f) < 1.0 / (2 * HOUR)) { /* ten times the work for some minutes */
      burst_until = s + 60 + (int64_t)(draw(f) * 600);
      bursting = (unsigned)(draw(f) * f->n);
    }
    if (blip_until == 0 && draw(f) < 1.0 / (3 * HOUR)) { /* half of it fails for a moment */
      blip_until = s + 5 + (int64_t)(draw(f) * 20);
      blipping = (unsigned)(draw(f) * f->n);
      failing = f->endpoints[blipping].failing;
      f->endpoints[blipping].failing = 0.5;
    }
    if (blip_until > 0 && s >= blip_until) {
      f->endpoints[blipping].failing = failing;
      blip_until = 0;
    }
    for (unsigned i = 0; i < f->n; i++) {
      const endpoint *e = &f->endpoints[i];
      double rate = e->per_second * (s < burst_until && i == bursting ? 10 : 1);
      if (!works(f, e->source, s)) continue;
      for (int k = 0; k < rate; k++)
        if (draw(f) < rate - k) one_op(f, e, s);
    }
    alert_pass(&f->d, 1);
  }
}

static void begin(fleet *f) {
  const obs_clusters_opts opts = {.clusters = 500, .quiet = 20};
  alert_begin(&f->d, "{}");
  assert_int_equal(obs_clusters_open(&opts, &f->d.clusters), OBSERVER_E_OK);
  f->d.cycle_ms = 30000;
}

static void say(const fleet *f, uint64_t seed) {
  for (uint64_t i = 0; i < f->d.nevents; i++) {
    const alert_event *e = &f->d.events[i];
    printf("seed %d: %d d %5.2f h %s %s %s: %s\n", (int)seed, (int)(e->at_s / DAY), (double)(e->at_s % DAY) / HOUR,
           e->rule, obs_alert_state_names[e->state], e->value, e->text);
  }
}

static void test_nobody_is_woken(void **state) {
  (void)state;
  const char *first = getenv("OBSERVER_SEED"), *rounds = getenv("OBSERVER_ROUNDS");
  uint64_t from = first != NULL ? strtoull(first, NULL, 10) : 1, n = rounds != NULL ? strtoull(rounds, NULL, 10) : 4;
  for (uint64_t seed = from; seed < from + n; seed++) {
    fleet f;
    make_fleet(&f, seed, seed % 2 == 0);
    begin(&f);
    live(&f, 9 * DAY);
    say(&f, seed);
    assert_int_equal(f.d.nevents, 0);
    alert_end(&f.d);
  }
}

static void test_the_right_rule_fires_once(void **state) {
  (void)state;
  static const struct {
    cause cause;
    int64_t minutes;
    const char *rule;
  } causes[] = {{FAILS, 15, "failing"}, {SLOW, 20, "slow"}, {SILENT, 24 * 60, "silent"}, {NEW_KIND, 20, "new-kind"}};
  for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
    fleet f;
    make_fleet(&f, 20 + i, false);
    memset(f.pauses, 0, sizeof(f.pauses));
    f.weekend = false;
    f.cause = causes[i].cause;
    f.from_s = 3 * DAY + 3 * HOUR;
    f.until_s = f.from_s + causes[i].minutes * 60;
    if (f.cause == SILENT) /* the source has no other endpoint, and is regular */
      for (unsigned k = 1; k < f.n; k++) f.endpoints[k].source = 1 + k % (SOURCES - 1);
    begin(&f);
    live(&f, f.until_s + 3 * HOUR);
    say(&f, i);
    assert_int_equal(f.d.nevents, 2);
    assert_int_equal(alert_count(&f.d, causes[i].rule, OBS_ALERT_FIRING, NULL), 1);
    assert_int_equal(alert_count(&f.d, causes[i].rule, OBS_ALERT_RESOLVED, NULL), 1);
    assert_in_range(f.d.events[0].at_s, f.from_s, f.until_s);
    alert_end(&f.d);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_nobody_is_woken),
                                     cmocka_unit_test(test_the_right_rule_fires_once)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
