/* The engine of alert rules: each form, the states with their hysteresis, storms, bounds, late ops, restarts, reloads.
 */
#include "alert_driver.h"

#include <inttypes.h>

#define RULES(list) "{\"builtin\":false,\"rules\":[" list "]}"
#define FAILED "[{\"FieldEquals\":{\"field\":\"success\",\"value\":false}}]"

/* `n` ops, of which `bad` fail. */
static void give(alert_driver *d, const char *endpoint, unsigned n, unsigned bad) {
  for (unsigned i = 0; i < n; i++) alert_give(d, alert_op(d, endpoint, "mcp", i >= bad, 100, NULL), NULL);
}

/* Seconds of ten ops each. */
static void live(alert_driver *d, const char *endpoint, unsigned seconds, unsigned bad) {
  for (; seconds > 0; seconds--) {
    give(d, endpoint, 10, bad);
    alert_pass(d, 1);
  }
}

static const char rate_rule[] =
    RULES("{\"id\":\"r\",\"on\":\"rate\",\"of\":" FAILED ",\"above\":0.4,\"clear_below\":0.2,\"min_ops\":30,"
          "\"within\":\"1m\",\"by\":[\"endpoint\"],\"for\":\"10s\",\"keep\":\"20s\"}");

static obs_alert_state state_of(const alert_driver *d) {
  obs_engine_rule r;
  obs_engine_get_rule(d->engine, 0, &r);
  for (int s = 0; s < OBS_ALERT_STATES; s++)
    if (r.counts[s] > 0) return (obs_alert_state)s;
  return OBS_ALERT_STATES; /* inactive */
}

static bool take_text(void *arg, const obs_alert *a) {
  (void)snprintf(arg, OBS_ALERT_TEXT_MAX, "%s", a->text);
  return false;
}

static const char *text_of(const alert_driver *d) {
  static char text[OBS_ALERT_TEXT_MAX];
  text[0] = '\0';
  obs_engine_each(d->engine, take_text, text);
  return text;
}

static void test_states_of_a_rate(void **state) {
  (void)state;
  alert_driver d;
  alert_begin(&d, rate_rule);
  live(&d, "a", 2, 10); /* 20 ops: fewer than min_ops */
  assert_int_equal(state_of(&d), OBS_ALERT_STATES);
  live(&d, "a", 1, 10);
  assert_int_equal(state_of(&d), OBS_ALERT_PENDING);
  live(&d, "a", 9, 10);
  assert_int_equal(state_of(&d), OBS_ALERT_PENDING);
  assert_int_equal(d.nevents, 0);
  live(&d, "a", 1, 10);
  assert_int_equal(state_of(&d), OBS_ALERT_FIRING);
  assert_int_equal(d.nevents, 1);
  assert_string_equal(d.events[0].text, "130 of 130 ops of endpoint a failed within 1m: 100 %, more than 40 %");
  /* Between the thresholds nothing changes. */
  live(&d, "a", 25, 0); /* 130 of 380: 34 % */
  assert_int_equal(state_of(&d), OBS_ALERT_FIRING);
  assert_string_equal(text_of(&d), "130 of 380 ops of endpoint a failed within 1m: 34 %, not less than 20 %");
  live(&d, "a", 30, 0); /* they leave the window: 130 of 600, then fewer */
  for (int i = 0; i < 60 && state_of(&d) == OBS_ALERT_FIRING; i++) live(&d, "a", 1, 0);
  assert_int_equal(state_of(&d), OBS_ALERT_RECOVERING);
  assert_string_equal(text_of(&d), "40 of 590 ops of endpoint a failed within 1m: 7 %, less than 20 %");
  live(&d, "a", 15, 10); /* it is back before `keep` is over: no transition */
  assert_int_equal(state_of(&d), OBS_ALERT_FIRING);
  assert_int_equal(d.nevents, 1);
  live(&d, "a", 100, 0);
  assert_int_equal(state_of(&d), OBS_ALERT_STATES);
  assert_int_equal(d.nevents, 2);
  assert_int_equal(d.events[1].state, OBS_ALERT_RESOLVED);
  assert_string_equal(d.events[1].text, "0 of 590 ops of endpoint a failed within 1m: 0 %, less than 20 %");
  alert_end(&d);
}

static void test_pending_that_goes_is_nothing(void **state) {
  (void)state;
  alert_driver d;
  alert_begin(&d, rate_rule);
  live(&d, "a", 4, 10);
  assert_int_equal(state_of(&d), OBS_ALERT_PENDING);
  live(&d, "a", 8, 0);
  assert_int_equal(state_of(&d), OBS_ALERT_STATES);
  alert_pass(&d, 300);
  assert_int_equal(d.nevents, 0);
  alert_end(&d);
}

static void test_no_more_ops_is_clear(void **state) {
  (void)state;
  alert_driver d;
  alert_begin(&d, rate_rule);
  live(&d, "a", 20, 10);
  alert_pass(&d, 90);
  assert_int_equal(alert_count(&d, "r", OBS_ALERT_FIRING, "a"), 1);
  assert_int_equal(alert_count(&d, "r", OBS_ALERT_RESOLVED, "a"), 1);
  alert_end(&d);
}

static void test_confidence(void **state) {
  (void)state;
  alert_driver d;
  alert_begin(&d, RULES("{\"id\":\"r\",\"on\":\"rate\",\"of\":" FAILED ",\"above\":0.2,\"min_ops\":1,\"within\":\"1m\","
                        "\"confidence\":0.999}"));
  give(&d, "a", 2, 2); /* all of two: no proof of more than one in five */
  alert_pass(&d, 1);
  assert_int_equal(d.nevents, 0);
  give(&d, "a", 6, 6);
  alert_pass(&d, 1);
  assert_int_equal(d.nevents, 1);
  alert_end(&d);
}

static void test_clear_within(void **state) {
  (void)state;
  alert_driver d;
  alert_begin(&d, RULES("{\"id\":\"r\",\"on\":\"rate\",\"of\":" FAILED ",\"above\":0.2,\"within\":\"10m\","
                        "\"clear_within\":\"1m\",\"keep\":\"5s\"}"));
  live(&d, "a", 300, 10);
  assert_int_equal(state_of(&d), OBS_ALERT_FIRING);
  live(&d, "a", 80, 0); /* the window is still at 79 %, the last minute at 0 */
  assert_int_equal(state_of(&d), OBS_ALERT_STATES);
  live(&d, "a", 30, 0);
  assert_int_equal(d.nevents, 2); /* it does not begin again */
  alert_end(&d);
}

static void test_count(void **state) {
  (void)state;
  alert_driver d;
  alert_begin(&d,
              RULES("{\"id\":\"c\",\"on\":\"op\",\"when\":[{\"FieldEquals\":{\"field\":\"source\",\"value\":\"bot\"}}],"
                    "\"count\":{\"at_least\":3,\"within\":\"1m\",\"by\":[\"extra.who\"]},\"keep\":\"0s\"}"));
  obs_op op = alert_op(&d, "a", "bot", true, 1, NULL);
  op.extra = OBS_STR("{\"who\":\"x\"}");
  op.present |= OBS_BIT(OBS_F_extra);
  obs_op other = op, no_bot = op;
  other.extra = OBS_STR("{\"who\":7}");
  no_bot.source = OBS_STR("mcp");
  alert_give(&d, op, NULL);
  alert_give(&d, op, NULL);
  alert_give(&d, no_bot, NULL);
  alert_give(&d, other, NULL);
  alert_pass(&d, 1);
  assert_int_equal(d.nevents, 0);
  alert_give(&d, op, NULL);
  alert_give(&d, other, NULL);
  alert_give(&d, other, NULL);
  alert_pass(&d, 1);
  assert_int_equal(alert_count(&d, "c", OBS_ALERT_FIRING, "x"), 1);
  assert_int_equal(alert_count(&d, "c", OBS_ALERT_FIRING, "7"), 1);
  assert_string_equal(d.events[0].text, "3 ops of extra.who x within 1m where source is \"bot\"");
  alert_pass(&d, 61);
  assert_int_equal(alert_count(&d, "c", OBS_ALERT_RESOLVED, NULL), 2);
  alert_end(&d);
}

static void test_late_ops_raise_nothing(void **state) {
  (void)state;
  alert_driver d;
  alert_begin(&d, rate_rule);
  for (int i = 0; i < 100; i++) {
    obs_op op = alert_op(&d, "a", "mcp", false, 1, NULL);
    op.time_ms -= OBS_OP_LATE_MS + 1000;
    alert_give(&d, op, NULL);
  }
  alert_pass(&d, 30);
  assert_int_equal(d.nevents, 0);
  assert_int_equal(state_of(&d), OBS_ALERT_STATES);
  alert_end(&d);
}

/* ---- absence ---- */

static void test_absence(void **state) {
  (void)state;
  alert_driver d;
  alert_begin(&d,
              RULES("{\"id\":\"gone\",\"on\":\"absence\",\"when\":[{\"FieldEquals\":{\"field\":\"source\",\"value\":"
                    "\"mcp\"}}],\"for\":\"5m\",\"keep\":\"10s\"}"));
  alert_pass(&d, 299);
  assert_int_equal(d.nevents, 0);
  give(&d, "a", 1, 0);
  alert_pass(&d, 299);
  assert_int_equal(d.nevents, 0);
  alert_pass(&d, 2);
  assert_int_equal(d.nevents, 1);
  assert_string_equal(d.events[0].text, "no op has come for 5m");
  alert_give(&d, alert_op(&d, "a", "bot", true, 1, NULL), NULL); /* of another source */
  alert_pass(&d, 1000);
  assert_int_equal(d.nevents, 1);
  give(&d, "a", 1, 0);
  alert_pass(&d, 12);
  assert_int_equal(d.nevents, 2);
  assert_int_equal(d.events[1].state, OBS_ALERT_RESOLVED);
  assert_string_equal(d.events[1].text, "ops come again");
  alert_end(&d);
}

/* A second restarts nothing: time in which the daemon was away is nobody's silence. */
static void test_absence_counts_from_the_start(void **state) {
  (void)state;
  alert_driver d;
  alert_begin(&d, RULES("{\"id\":\"gone\",\"on\":\"absence\",\"for\":\"5m\"}"));
  give(&d, "a", 1, 0);
  d.now_ms += 3600000;
  obs_engine_begin(d.engine, d.now_ms, true);
  alert_pass(&d, 298);
  assert_int_equal(d.nevents, 0);
  alert_pass(&d, 3);
  assert_int_equal(d.nevents, 1);
  alert_end(&d);
}

static const char silent_rule[] = "{\"builtin\":[\"silent\"]}";

/* One op a minute of each source that is there. */
static void days(alert_driver *d, unsigned minutes, const char *const *sources) {
  for (; minutes > 0; minutes--) {
    for (const char *const *s = sources; *s != NULL; s++) alert_give(d, alert_op(d, "a", *s, true, 1, NULL), NULL);
    d->now_ms += 59000;
    alert_pass(d, 1);
  }
}

static void test_silence_is_learned(void **state) {
  (void)state;
  static const char *const all[] = {"x", "y", "z", NULL}, *const without_x[] = {"y", "z", NULL},
                           *const nobody[] = {NULL};
  alert_driver d;
  alert_begin(&d, silent_rule);
  days(&d, 600, all);
  days(&d, 60, without_x); /* not known for a day yet */
  assert_int_equal(d.nevents, 0);
  days(&d, 24 * 60, all); /* its longest pause is an hour now */
  days(&d, 179, without_x);
  assert_int_equal(d.nevents, 0);
  days(&d, 5, without_x);
  assert_int_equal(d.nevents, 1);
  assert_string_equal(d.events[0].value, "x");
  days(&d, 100, without_x);
  days(&d, 10, all);
  assert_int_equal(d.nevents, 2);
  days(&d, 12 * 60, nobody); /* the whole fleet pauses */
  days(&d, 60, all);
  assert_int_equal(d.nevents, 2);
  alert_end(&d);
}

/* ---- durations ---- */

static void endpoint_for(alert_driver *d, const char *endpoint, unsigned minutes, int64_t ms) {
  for (unsigned s = 0; s < minutes * 60; s++) {
    alert_give(d, alert_op(d, endpoint, "mcp", true, ms + s % 40, NULL), NULL);
    alert_pass(d, 1);
  }
}

static void test_slow_against_its_own_usual(void **state) {
  (void)state;
  alert_driver d;
  alert_begin(&d, "{\"builtin\":[\"slow\"]}");
  endpoint_for(&d, "a", 30, 100);
  endpoint_for(&d, "a", 5, 1000); /* too early: it has not learned */
  assert_int_equal(d.nevents, 0);
  endpoint_for(&d, "a", 120, 100);
  endpoint_for(&d, "a", 20, 160); /* slower, and no more than that */
  assert_int_equal(d.nevents, 0);
  endpoint_for(&d, "a", 10, 1000);
  assert_int_equal(alert_count(&d, "slow", OBS_ALERT_FIRING, "a"), 1);
  endpoint_for(&d, "a", 10, 100);
  assert_int_equal(alert_count(&d, "slow", OBS_ALERT_RESOLVED, "a"), 1);
  /* What lasts for more than an hour is how it is now. */
  endpoint_for(&d, "a", 150, 1000);
  assert_int_equal(alert_count(&d, "slow", OBS_ALERT_FIRING, "a"), 2);
  assert_int_equal(alert_count(&d, "slow", OBS_ALERT_RESOLVED, "a"), 2);
  alert_end(&d);
}

/* ---- the daemon itself ---- */

static void test_self(void **state) {
  (void)state;
  alert_driver d;
  alert_begin(&d, "{\"builtin\":[\"not-recording\",\"conservation\"]}");
  d.look.self.failing[OBS_RULE_RECORDING] = true;
  (void)snprintf(d.look.self.why[OBS_RULE_RECORDING], 100, "No space left on device");
  alert_pass(&d, 29);
  assert_int_equal(d.nevents, 0);
  alert_pass(&d, 2);
  assert_int_equal(d.nevents, 1);
  assert_string_equal(d.events[0].text, "No space left on device");
  d.look.self.failing[OBS_RULE_RECORDING] = false;
  alert_pass(&d, 40);
  assert_int_equal(d.nevents, 2);
  assert_int_equal(alert_count(&d, "not-recording", OBS_ALERT_RESOLVED, NULL), 1);
  assert_string_equal(d.events[1].text, "no longer: No space left on device");
  alert_end(&d);
}

/* ---- clusters ---- */

static void open_clusters(alert_driver *d) {
  const obs_clusters_opts opts = {.clusters = 100, .quiet = 20};
  assert_int_equal(obs_clusters_open(&opts, &d->clusters), OBSERVER_E_OK);
  d->cycle_ms = 30000;
}

/* Seconds of ten ops, of which `bad` of a minute's fail with that text. */
static void kinds(alert_driver *d, unsigned seconds, unsigned bad, const char *error) {
  for (unsigned s = 0; s < seconds; s++) {
    for (unsigned i = 0; i < 10; i++) {
      bool fails = (s % 60) * 10 + i < bad;
      alert_give(d, alert_op(d, "a", "mcp", !fails, 1, fails ? error : NULL), NULL);
    }
    alert_pass(d, 1);
  }
}

static void test_new_kind(void **state) {
  (void)state;
  alert_driver d;
  alert_begin(&d, "{\"builtin\":[\"new-kind\"]}");
  open_clusters(&d);
  kinds(&d, 600, 60, "known from the beginning"); /* everything is new then */
  kinds(&d, 300, 60, "known from the beginning");
  assert_int_equal(d.nevents, 0);
  kinds(&d, 600, 5, "a rare one: 429 Too Many Requests"); /* new, but no noticeable share */
  assert_int_equal(d.nevents, 0);
  kinds(&d, 480, 60, "disk full on host");
  assert_int_equal(alert_count(&d, "new-kind", OBS_ALERT_FIRING, NULL), 1);
  assert_non_null(strstr(d.events[0].text, "a kind of failure that is new: "));
  assert_non_null(strstr(d.events[0].text, " at a: disk full on host"));
  kinds(&d, 1200, 0, NULL);
  assert_int_equal(alert_count(&d, "new-kind", OBS_ALERT_RESOLVED, NULL), 1);
  assert_int_equal(d.nevents, 2);
  assert_string_equal(d.events[1].text,
                      "no longer: a kind of failure that is new: 120 failures within 10m: disk full on host");
  kinds(&d, 480, 60, "disk full on host"); /* resolved by now: it has regressed */
  assert_int_equal(alert_count(&d, "new-kind", OBS_ALERT_FIRING, NULL), 2);
  alert_end(&d);
}

/* ---- storms and bounds ---- */

/* A thousand groups and more at once: one transition a group, and one for all the others together. */
static void test_flood_of_groups(void **state) {
  (void)state;
  alert_driver d;
  alert_begin(&d, rate_rule);
  for (int s = 0; s < 20; s++) {
    for (int g = 0; g < 1500; g++) {
      char name[16];
      (void)snprintf(name, sizeof(name), "e%d", g);
      give(&d, name, 5, 5);
    }
    alert_pass(&d, 1);
  }
  assert_int_equal(alert_count(&d, "r", OBS_ALERT_FIRING, NULL), OBS_ENGINE_GROUPS + 1);
  assert_int_equal(alert_count(&d, "r", OBS_ALERT_FIRING, "(other)"), 1);
  assert_int_equal(alert_count(&d, "r", OBS_ALERT_RESOLVED, NULL), 0);
  alert_pass(&d, 100);
  assert_int_equal(alert_count(&d, "r", OBS_ALERT_RESOLVED, NULL), OBS_ENGINE_GROUPS + 1);
  assert_int_equal(d.nevents, 2 * (OBS_ENGINE_GROUPS + 1));
  /* Groups that nobody hears of any more make room. */
  alert_pass(&d, 7300);
  give(&d, "later", 30, 30);
  alert_pass(&d, 12);
  assert_int_equal(alert_count(&d, "r", OBS_ALERT_FIRING, "later"), 1);
  alert_end(&d);
}

static void test_held_back_when_there_are_too_many(void **state) {
  (void)state;
  alert_driver d;
  alert_begin(&d, RULES("{\"id\":\"a\",\"on\":\"op\",\"count\":{\"by\":[\"endpoint\"]}},"
                        "{\"id\":\"b\",\"on\":\"op\",\"count\":{\"by\":[\"endpoint\"]}},"
                        "{\"id\":\"c\",\"on\":\"op\",\"count\":{\"by\":[\"endpoint\"]}}"));
  for (int g = 0; g < 900; g++) {
    char name[16];
    (void)snprintf(name, sizeof(name), "e%d", g);
    give(&d, name, 1, 0);
  }
  alert_pass(&d, 5);
  assert_int_equal(alert_count(&d, NULL, OBS_ALERT_FIRING, NULL), OBS_ENGINE_ACTIVE);
  assert_int_equal(obs_engine_held_back(d.engine), 3 * 900 - OBS_ENGINE_ACTIVE);
  alert_end(&d);
}

/* A value that flaps all day: each time that it comes back, it has to stay away for longer. */
static void test_flapping_value(void **state) {
  (void)state;
  alert_driver d;
  alert_begin(&d, RULES("{\"id\":\"f\",\"on\":\"op\",\"when\":" FAILED ",\"count\":{\"within\":\"10s\"},"
                        "\"for\":\"0s\",\"keep\":\"0s\"}"));
  for (int s = 0; s < 24 * 3600; s++) {
    if (s % 30 == 0) give(&d, "a", 1, 1);
    alert_pass(&d, 1);
  }
  unsigned fired = alert_count(&d, "f", OBS_ALERT_FIRING, NULL);
  assert_in_range(fired, 1, 8);
  assert_in_range(d.nevents, fired, 2 * fired);
  alert_end(&d);
}

/* The same, slow enough to be over each time: at most a few an hour. */
static void test_slow_flapping(void **state) {
  (void)state;
  alert_driver d;
  alert_begin(&d, RULES("{\"id\":\"f\",\"on\":\"op\",\"when\":" FAILED ",\"count\":{\"within\":\"10s\"},"
                        "\"for\":\"0s\",\"keep\":\"10s\"}"));
  for (int s = 0; s < 24 * 3600; s++) {
    if (s % 120 == 0) give(&d, "a", 1, 1);
    alert_pass(&d, 1);
  }
  assert_in_range(alert_count(&d, "f", OBS_ALERT_FIRING, NULL), 1, 12);
  alert_end(&d);
}

/* ---- restarts and reloads ---- */

static void restart(alert_driver *d, const obs_alert *fires) {
  obs_buf bytes = {0};
  obs_engine_save(d->engine, &bytes);
  assert_false(bytes.oom);
  obs_engine_close(d->engine);
  d->engine = obs_engine_open(d->rules);
  assert_int_equal(obs_engine_load(d->engine, bytes.p, bytes.len), OBSERVER_E_OK);
  obs_engine_begin(d->engine, d->now_ms, true);
  if (fires != NULL) assert_true(obs_engine_adopt(d->engine, fires));
  /* Half a part is none. */
  for (size_t n = 0; n < bytes.len; n += bytes.len / 50 + 1) {
    obs_engine *e = obs_engine_open(d->rules);
    assert_int_not_equal(obs_engine_load(e, bytes.p, n), OBSERVER_E_OK);
    obs_engine_close(e);
  }
  obs_buf_fini(&bytes);
}

static bool keep_alert(void *arg, const obs_alert *a) {
  *(obs_alert *)arg = *a;
  return true;
}

static void test_restart(void **state) {
  (void)state;
  alert_driver d;
  obs_alert fires;
  alert_begin(&d, rate_rule);
  live(&d, "a", 8, 10);
  assert_int_equal(state_of(&d), OBS_ALERT_PENDING);
  restart(&d, NULL); /* what is pending goes on */
  live(&d, "a", 5, 10);
  assert_int_equal(d.nevents, 1);
  obs_engine_each(d.engine, keep_alert, &fires);
  assert_int_equal(fires.state, OBS_ALERT_FIRING);
  restart(&d, &fires);
  live(&d, "a", 20, 10);
  assert_int_equal(state_of(&d), OBS_ALERT_FIRING);
  assert_int_equal(d.nevents, 1); /* it does not fire a second time */
  obs_alert now;
  obs_engine_each(d.engine, keep_alert, &now);
  assert_int_equal(now.fired_ms, fires.fired_ms);
  live(&d, "a", 120, 0);
  assert_int_equal(d.nevents, 2);
  alert_end(&d);
}

/* One failure of an endpoint whose name has that many bytes. */
static void give_named(alert_driver *d, const char *name, size_t len) {
  obs_op op = alert_op(d, "", "mcp", false, 100, NULL);
  op.endpoint = (obs_str){name, (uint32_t)len, 0};
  alert_give(d, op, NULL);
}

/* Names that are cut, and such as no C string can be, have labels that lead back to their groups. */
static void test_restart_with_odd_names(void **state) {
  (void)state;
  enum { NAMES = 6 };
  static const char nul[] = "a\0b", nul_first[] = "\0";
  char longs[2][300];
  memset(longs, 'x', sizeof(longs));
  longs[1][299] = 'y';
  const struct {
    const char *p;
    size_t len;
  } names[NAMES] = {{"a", 1}, {nul, 3}, {nul_first, 1}, {longs[0], 300}, {longs[1], 300}, {"(other)", 7}};
  obs_alert fires[NAMES];
  alert_driver d;
  alert_begin(&d, RULES("{\"id\":\"f\",\"on\":\"op\",\"when\":" FAILED
                        ",\"count\":{\"within\":\"1h\",\"by\":[\"endpoint\"]}}"));
  for (int i = 0; i < NAMES; i++) {
    give_named(&d, names[i].p, names[i].len);
    alert_pass(&d, 1);
    assert_int_equal(d.nevents, i + 1);
    obs_engine_each(d.engine, keep_alert, &fires[i]); /* the newest is the last */
    for (int k = 0; k < i; k++) assert_true(fires[k].fingerprint != fires[i].fingerprint);
  }
  assert_string_equal(fires[0].labels[0].value, "a");
  assert_memory_equal(fires[1].labels[0].value, "a…", strlen("a…"));
  assert_memory_equal(fires[5].labels[0].value, "(other)…", strlen("(other)…"));
  restart(&d, &fires[0]);
  for (int i = 1; i < NAMES; i++) assert_true(obs_engine_adopt(d.engine, &fires[i]));
  obs_engine_rule r;
  obs_engine_get_rule(d.engine, 0, &r);
  assert_int_equal(r.groups, NAMES);
  assert_int_equal(r.fired, NAMES);
  for (int i = 0; i < NAMES; i++) give_named(&d, names[i].p, names[i].len);
  alert_pass(&d, 600);
  assert_int_equal(d.nevents, NAMES); /* they fire on, and nobody is told anything */
  obs_engine_get_rule(d.engine, 0, &r);
  assert_int_equal(r.groups, NAMES);
  alert_end(&d);
}

/* A clock that was years ahead, and is right at the next start: windows go on, what fires ends. */
static void test_restart_with_a_clock_set_back(void **state) {
  (void)state;
  alert_driver d;
  obs_alert fires;
  alert_begin(&d, rate_rule);
  live(&d, "a", 20, 10);
  obs_engine_each(d.engine, keep_alert, &fires);
  live(&d, "b", 4, 10); /* pending */
  assert_int_equal(d.nevents, 1);
  d.now_ms -= INT64_C(4) * 365 * 86400 * 1000;
  restart(&d, &fires);
  live(&d, "a", 10, 10);
  assert_int_equal(d.nevents, 1);
  live(&d, "a", 120, 0);
  assert_int_equal(d.nevents, 2);
  assert_int_equal(d.events[1].state, OBS_ALERT_RESOLVED);
  live(&d, "a", 90, 10); /* and it fires again */
  assert_int_equal(alert_count(&d, "r", OBS_ALERT_FIRING, "a"), 2);
  assert_int_equal(alert_count(&d, "r", OBS_ALERT_FIRING, "b"), 0);
  alert_end(&d);
}

/* An absence that was told by such a clock ends with the next op. */
static void test_absence_with_a_clock_set_back(void **state) {
  (void)state;
  alert_driver d;
  obs_alert fires;
  alert_begin(&d, RULES("{\"id\":\"n\",\"on\":\"absence\",\"for\":\"10s\",\"keep\":\"1s\"}"));
  give(&d, "a", 1, 0);
  alert_pass(&d, 20);
  assert_int_equal(d.nevents, 1);
  obs_engine_each(d.engine, keep_alert, &fires);
  d.now_ms -= INT64_C(4) * 365 * 86400 * 1000;
  restart(&d, &fires);
  alert_pass(&d, 5);
  assert_int_equal(d.nevents, 1);
  give(&d, "a", 1, 0);
  alert_pass(&d, 5);
  assert_int_equal(d.nevents, 2);
  assert_int_equal(d.events[1].state, OBS_ALERT_RESOLVED);
  alert_end(&d);
}

/* All that is counted is there again: endpoints, pauses, usual durations. */
static void test_restart_of_what_is_learned(void **state) {
  (void)state;
  alert_driver d;
  alert_begin(&d, "{\"builtin\":[\"slow\",\"silent\",\"new-kind\"]}");
  endpoint_for(&d, "a", 90, 100);
  obs_buf before = {0}, after = {0};
  obs_engine_save(d.engine, &before);
  restart(&d, NULL);
  obs_engine_save(d.engine, &after);
  assert_int_equal(before.len, after.len);
  assert_memory_equal(before.p, after.p, before.len);
  obs_buf_fini(&before);
  obs_buf_fini(&after);
  endpoint_for(&d, "a", 10, 1000);
  assert_int_equal(alert_count(&d, "slow", OBS_ALERT_FIRING, "a"), 1);
  alert_end(&d);
}

/* Without its counts, nothing is clear before they could be there. */
static void test_start_without_counts(void **state) {
  (void)state;
  alert_driver d;
  obs_alert fires;
  alert_begin(&d, rate_rule);
  live(&d, "a", 20, 10);
  obs_engine_each(d.engine, keep_alert, &fires);
  obs_engine_close(d.engine);
  d.engine = obs_engine_open(d.rules);
  obs_engine_begin(d.engine, d.now_ms, false);
  assert_true(obs_engine_adopt(d.engine, &fires));
  live(&d, "a", 58, 0);
  assert_int_equal(state_of(&d), OBS_ALERT_FIRING);
  live(&d, "a", 30, 0);
  assert_int_equal(d.nevents, 2);
  fires.rule[0] = 'x';
  assert_false(obs_engine_adopt(d.engine, &fires));
  alert_end(&d);
}

static void reload(alert_driver *d, const char *json) {
  obs_rules *rules = alert_rules(json);
  obs_engine *e = obs_engine_open(rules);
  obs_engine_take(e, d->engine, d->now_ms, alert_note, d);
  obs_rules_free(d->rules);
  d->rules = rules;
  d->engine = e;
}

static void test_reload(void **state) {
  (void)state;
  alert_driver d;
  alert_begin(&d, rate_rule);
  live(&d, "a", 20, 10);
  assert_int_equal(d.nevents, 1);
  reload(&d, rate_rule); /* the same: everything stays */
  live(&d, "a", 5, 10);
  assert_int_equal(state_of(&d), OBS_ALERT_FIRING);
  assert_int_equal(d.nevents, 1);
  /* Another definition, beside another rule: it fires on, and has a window's time to be judged anew. */
  reload(&d,
         RULES("{\"id\":\"new\",\"on\":\"op\",\"when\":[{\"FieldEquals\":{\"field\":\"source\",\"value\":\"no\"}}]},"
               "{\"id\":\"r\",\"on\":\"rate\",\"of\":" FAILED ",\"above\":0.5,\"within\":\"1m\",\"by\":[\"endpoint\"],"
               "\"keep\":\"0s\"}"));
  live(&d, "a", 30, 0);
  assert_int_equal(d.nevents, 1);
  live(&d, "a", 40, 0);
  assert_int_equal(d.nevents, 2);
  live(&d, "a", 120, 10);
  assert_int_equal(d.nevents, 3);
  reload(&d, "{\"builtin\":false}"); /* the rule is gone */
  assert_int_equal(d.nevents, 4);
  assert_int_equal(d.events[3].state, OBS_ALERT_RESOLVED);
  alert_pass(&d, 10);
  alert_end(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_states_of_a_rate),
      cmocka_unit_test(test_pending_that_goes_is_nothing),
      cmocka_unit_test(test_no_more_ops_is_clear),
      cmocka_unit_test(test_confidence),
      cmocka_unit_test(test_clear_within),
      cmocka_unit_test(test_count),
      cmocka_unit_test(test_late_ops_raise_nothing),
      cmocka_unit_test(test_absence),
      cmocka_unit_test(test_absence_counts_from_the_start),
      cmocka_unit_test(test_silence_is_learned),
      cmocka_unit_test(test_slow_against_its_own_usual),
      cmocka_unit_test(test_self),
      cmocka_unit_test(test_new_kind),
      cmocka_unit_test(test_flood_of_groups),
      cmocka_unit_test(test_held_back_when_there_are_too_many),
      cmocka_unit_test(test_flapping_value),
      cmocka_unit_test(test_slow_flapping),
      cmocka_unit_test(test_restart),
      cmocka_unit_test(test_restart_with_odd_names),
      cmocka_unit_test(test_restart_with_a_clock_set_back),
      cmocka_unit_test(test_absence_with_a_clock_set_back),
      cmocka_unit_test(test_restart_of_what_is_learned),
      cmocka_unit_test(test_start_without_counts),
      cmocka_unit_test(test_reload),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
