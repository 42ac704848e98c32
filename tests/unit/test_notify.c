/* The book of notifications by a clock of its own: what is due when, what is held back and told in a digest, what a
 * restart knows from the ledger. */
#include "notify/internal.h"

#include "base/clock.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { S = 1000, M = 60 * S, H = 60 * M };

/* A book with one receiver that has no thread: `now` is what the test says. */
typedef struct {
  obs_notify *n;
  uint32_t slot;
  int64_t now;
  char dir[64];
} fixture;

static void open_book(fixture *f, const char *file, uint64_t turn_bytes) {
  char error[256];
  cJSON *json = cJSON_Parse(file);
  const obs_notify_opts opts = {.dir = f->dir[0] != '\0' ? f->dir : NULL, .turn_bytes = turn_bytes};
  assert_non_null(json);
  assert_int_equal(obs_notify_open(&opts, &f->n, error, sizeof error), OBSERVER_E_OK);
  f->n->config = obs_notify_config_read(json, false, error, sizeof error);
  assert_non_null(f->n->config);
  cJSON_Delete(json);
  obs_notify_receiver *r = f->n->config->at[0];
  f->slot = obs_notify_slot_of(f->n, obs_str_of(r->name));
  f->n->slots[f->slot].receiver = r;
  if (f->now == 0) f->now = obs_clock_receipt_ms();
}

static int set_up(void **state) {
  fixture *f = calloc(1, sizeof *f);
  *state = f;
  return f == NULL;
}

static int tear_down(void **state) {
  fixture *f = *state;
  char command[128];
  obs_notify_close(f->n);
  if (f->dir[0] != '\0') {
    snprintf(command, sizeof command, "rm -r %s", f->dir);
    assert_int_equal(system(command), 0);
  }
  free(f);
  return 0;
}

static observer_err say(fixture *f, uint64_t fingerprint, const char *rule, bool firing) {
  bool changed;
  const obs_notify_alert a = {.fingerprint = fingerprint,
                              .rule = rule,
                              .severity = OBS_NOTIFY_PAGE,
                              .labels = {{"endpoint", "/x"}},
                              .nlabels = 1,
                              .value = NAN,
                              .threshold = NAN,
                              .text = "it fails",
                              .fired_ms = f->now,
                              .resolved_ms = firing ? 0 : f->now};
  obs_notify_facts *facts = obs_notify_facts_make(&a, NULL);
  assert_non_null(facts);
  pthread_mutex_lock(&f->n->lock);
  observer_err err = obs_notify_book_take(f->n, facts, firing, f->now, &changed);
  pthread_mutex_unlock(&f->n->lock);
  return err;
}

/* Whether a message is due now; it is answered when `ok`. */
static bool send(fixture *f, bool ok, obs_notify_message *m) {
  int64_t wake;
  obs_notify_result result = {.ok = ok, .status = ok ? 200 : 500, .at_ms = f->now};
  const obs_notify_receiver *r = f->n->slots[f->slot].receiver;
  pthread_mutex_lock(&f->n->lock);
  bool due = obs_notify_book_due(f->n, f->slot, f->now, m, &wake);
  pthread_mutex_unlock(&f->n->lock);
  assert_true(due || wake > f->now);
  if (!due) return false;
  obs_notify_ledger_begin(f->n, m, r);
  pthread_mutex_lock(&f->n->lock);
  if (ok) obs_notify_book_told(f->n, m, f->now);
  obs_buf_fini(&f->n->slots[f->slot].in_flight);
  pthread_mutex_unlock(&f->n->lock);
  obs_notify_ledger_end(f->n, m, r, &result);
  return true;
}

/* The reason of the message that was sent; OBS_NOTIFY_REASONS: none was due. */
static obs_notify_reason sent(fixture *f, uint32_t items) {
  obs_notify_message m;
  obs_notify_reason reason = OBS_NOTIFY_REASONS;
  if (send(f, true, &m)) {
    assert_int_equal(m.items.n, items);
    reason = m.reason;
  }
  obs_notify_message_fini(f->n, &m);
  return reason;
}

#define HOOK "\"receivers\":{\"hook\":{\"url\":\"http://127.0.0.1:1\"}}"

static void due_in_time(void **state) {
  fixture *f = *state;
  open_book(f, "{" HOOK "}", 0);
  assert_int_equal(say(f, 1, "failing", true), OBSERVER_E_OK);
  assert_int_equal(sent(f, 0), OBS_NOTIFY_REASONS);
  f->now += 10 * S - 1;
  assert_int_equal(say(f, 2, "failing", true), OBSERVER_E_OK); /* does not push it away */
  assert_int_equal(sent(f, 0), OBS_NOTIFY_REASONS);
  f->now += 1;
  assert_int_equal(sent(f, 2), OBS_NOTIFY_CHANGE);
  assert_int_equal(sent(f, 0), OBS_NOTIFY_REASONS);

  (void)say(f, 3, "failing", true);
  (void)say(f, 4, "other", true);
  f->now += 10 * S;
  assert_int_equal(sent(f, 1), OBS_NOTIFY_CHANGE); /* another rule does not wait for it */
  f->now += 5 * M - 10 * S - 1;
  assert_int_equal(sent(f, 0), OBS_NOTIFY_REASONS);
  f->now += 1;
  assert_int_equal(sent(f, 3), OBS_NOTIFY_CHANGE); /* with those that still fire */

  f->now += 4 * H - 1;
  obs_notify_message m;
  assert_true(send(f, true, &m)); /* of the other one: that was earlier */
  assert_int_equal(m.reason, OBS_NOTIFY_REPEAT);
  assert_string_equal(m.rule, "other");
  obs_notify_message_fini(f->n, &m);
  assert_int_equal(sent(f, 0), OBS_NOTIFY_REASONS);
  f->now += 1;
  assert_int_equal(sent(f, 3), OBS_NOTIFY_REPEAT);
}

/* The interval is counted from what was answered: an alert that flaps while its receiver is away neither starves the
 * message nor doubles it. */
static void interval_after_an_answer(void **state) {
  fixture *f = *state;
  obs_notify_message m;
  uint64_t id = 0;
  open_book(f, "{" HOOK "}", 0);
  (void)say(f, 1, "failing", true);
  f->now += 10 * S;
  for (int i = 0; i < 20; i++) {
    assert_true(send(f, false, &m));
    assert_int_equal(m.items.n, 1);
    assert_true(id == 0 || i % 2 != 0 || m.id != 0);
    id = m.id;
    obs_notify_message_fini(f->n, &m);
    f->now += 10 * S;
    (void)say(f, 1, "failing", i % 2 != 0);
  }
  assert_true(send(f, true, &m));
  assert_int_equal(m.items.at[0].says, OBS_NOTIFY_BEGUN);
  assert_int_equal(m.items.at[0].fired, 11);
  obs_notify_message_fini(f->n, &m);
  (void)say(f, 1, "failing", false);
  f->now += 5 * M - 1;
  assert_int_equal(sent(f, 0), OBS_NOTIFY_REASONS);
  f->now += 1;
  assert_int_equal(sent(f, 1), OBS_NOTIFY_CHANGE);
  assert_int_equal(f->n->nentries, 0);
}

static void digest_counts_what_was_held_back(void **state) {
  fixture *f = *state;
  obs_notify_message m;
  obs_buf text = {0};
  open_book(f, "{" HOOK ",\"per_hour\":2,\"group_wait\":\"0s\",\"group_interval\":\"1s\"}", 0);
  int64_t start = f->now;
  (void)say(f, 1, "failing", true);
  assert_int_equal(sent(f, 1), OBS_NOTIFY_CHANGE);
  f->now += M;
  (void)say(f, 2, "failing", true);
  assert_true(send(f, true, &m));
  assert_int_equal(m.per_hour, 2);
  assert_int_equal(m.until_ms, start + H);
  obs_notify_message_fini(f->n, &m);

  f->now += M;
  int64_t held = f->now;
  for (int i = 0; i < 500; i++) {
    (void)say(f, 10 + (uint64_t)(i % 50), i % 2 == 0 ? "failing" : "other", i / 50 % 2 == 0);
    assert_int_equal(sent(f, 0), OBS_NOTIFY_REASONS);
    f->now += S;
  }
  (void)say(f, 2, "failing", false);
  f->now = start + H - 1;
  assert_int_equal(sent(f, 0), OBS_NOTIFY_REASONS);
  obs_notify_counts counts;
  obs_notify_get_counts(f->n, &counts);
  assert_int_equal(counts.held_back, 501);
  assert_int_equal(counts.suppressed[OBS_NOTIFY_WHY_PER_HOUR], 501);

  f->now += 1;
  assert_true(send(f, true, &m));
  assert_int_equal(m.reason, OBS_NOTIFY_DIGEST);
  assert_null(m.rule);
  assert_int_equal(m.held_fired, 250);
  assert_int_equal(m.held_ended, 251);
  assert_int_equal(m.held_since_ms, held);
  assert_int_equal(m.counts[OBS_NOTIFY_OVER], 50);
  assert_int_equal(m.counts[OBS_NOTIFY_ENDED], 1);
  assert_int_equal(m.counts[OBS_NOTIFY_STILL], 1);
  obs_notify_text_subject(&m, &text);
  obs_buf_putc(&text, '\0');
  assert_string_equal(text.p, "DIGEST of alerts held back: 250 alerts fired, 251 resolved");
  text.len = 0;
  obs_notify_text_body(&m, NULL, &text);
  obs_buf_putc(&text, '\0');
  assert_non_null(strstr(text.p, "250 alerts fired and 251 were resolved without a message. This is the state now.\n"));
  assert_non_null(strstr(text.p, "- and 30 more\n"));
  assert_true(text.len < 8192);
  obs_buf_fini(&text);
  obs_notify_message_fini(f->n, &m);
  obs_notify_get_counts(f->n, &counts);
  assert_int_equal(counts.held_back, 0);
  assert_int_equal(counts.alerts, 1);

  (void)say(f, 3, "failing", true); /* the limit holds: the second message of this hour was a minute after the first */
  f->now += M - 1;
  assert_int_equal(sent(f, 0), OBS_NOTIFY_REASONS);
  f->now += 1;
  assert_int_equal(sent(f, 2), OBS_NOTIFY_DIGEST);
}

static void bounded(void **state) {
  fixture *f = *state;
  open_book(f, "{" HOOK "}", 0);
  for (uint64_t i = 1; i <= OBS_NOTIFY_ALERTS; i++) assert_int_equal(say(f, i, "failing", true), OBSERVER_E_OK);
  assert_int_equal(say(f, OBS_NOTIFY_ALERTS + 1, "failing", true), OBSERVER_E_FULL);
  assert_int_equal(f->n->counts.suppressed[OBS_NOTIFY_WHY_FULL], 1);
  f->now += 10 * S;
  assert_int_equal(sent(f, OBS_NOTIFY_ITEMS), OBS_NOTIFY_CHANGE);
  for (uint64_t i = 1; i <= OBS_NOTIFY_ALERTS; i++) assert_int_equal(say(f, i, "failing", false), OBSERVER_E_OK);
  for (int i = 0; i < OBS_NOTIFY_ALERTS / OBS_NOTIFY_ITEMS + 1; i++) {
    f->now += H;
    assert_int_not_equal(sent(f, f->n->nentries < OBS_NOTIFY_ITEMS ? f->n->nentries : OBS_NOTIFY_ITEMS),
                         OBS_NOTIFY_REASONS);
    assert_int_equal(sent(f, 0), OBS_NOTIFY_REASONS);
  }
  assert_int_equal(f->n->nentries, 0);
  for (uint64_t i = 1; i <= OBS_NOTIFY_ALERTS; i++) assert_int_equal(say(f, i, "other", true), OBSERVER_E_OK);
  assert_true(f->n->entries.n == OBS_NOTIFY_ALERTS); /* places are used again */
}

/* A receiver that is away for long, while alerts of ever other groups begin and end: they make room for what fires, but
 * not those of which it was told that they fire. */
static void away_for_long(void **state) {
  fixture *f = *state;
  enum { TOLD = 10 };
  open_book(f, "{" HOOK "}", 0);
  for (uint64_t i = 1; i <= TOLD; i++) assert_int_equal(say(f, i, "failing", true), OBSERVER_E_OK);
  f->now += 10 * S;
  assert_int_equal(sent(f, TOLD), OBS_NOTIFY_CHANGE);
  for (uint64_t i = 1; i <= TOLD + 2 * OBS_NOTIFY_ALERTS; i++) {
    assert_int_equal(say(f, i, "failing", true), OBSERVER_E_OK);
    assert_int_equal(say(f, i, "failing", false), OBSERVER_E_OK);
  }
  assert_int_equal(f->n->nentries, OBS_NOTIFY_ALERTS);
  assert_int_equal(f->n->counts.suppressed[OBS_NOTIFY_WHY_FULL], OBS_NOTIFY_ALERTS + TOLD);
  for (uint64_t i = 1; i <= TOLD; i++) assert_non_null(obs_notify_book_find(f->n, i));
  assert_int_equal(say(f, UINT64_MAX, "failing", true), OBSERVER_E_OK);
  assert_non_null(obs_notify_book_find(f->n, UINT64_MAX));
}

static void refused(void **state) {
  fixture *f = *state;
  char longest[OBS_NOTIFY_NAME_MAX + 2];
  open_book(f, "{" HOOK "}", 0);
  memset(longest, 'x', sizeof longest);
  longest[sizeof longest - 1] = '\0';
  obs_notify_alert a = {.fingerprint = 1, .rule = longest, .text = ""};
  assert_int_equal(obs_notify_transition(f->n, &a), OBSERVER_E_INVALID);
  a.rule = "failing";
  a.fingerprint = 0;
  assert_int_equal(obs_notify_transition(f->n, &a), OBSERVER_E_INVALID);
  a.fingerprint = 1;
  a.nlabels = OBS_NOTIFY_LABELS + 1;
  assert_int_equal(obs_notify_transition(f->n, &a), OBSERVER_E_INVALID);
  a.nlabels = 0;
  assert_int_equal(obs_notify_transition(f->n, &a), OBSERVER_E_OK);
}

static void reopen(fixture *f, const char *file, uint64_t turn_bytes) {
  obs_notify_close(f->n);
  f->n = NULL;
  open_book(f, file, turn_bytes);
}

/* What is told, when, and how many an hour: all of it is known from the ledger, also when that was turned over. */
static void known_from_the_ledger(void **state) {
  fixture *f = *state;
  static const char file[] = "{" HOOK ",\"per_hour\":240,\"group_wait\":\"0s\",\"group_interval\":\"1s\"}";
  snprintf(f->dir, sizeof f->dir, "/tmp/obs-notify-XXXXXX");
  assert_non_null(mkdtemp(f->dir));
  for (int turned = 0; turned < 2; turned++) {
    uint64_t turn_bytes = turned != 0 ? 20000 : 0;
    open_book(f, file, turn_bytes);
    for (uint64_t i = 1; i <= 200; i++) {
      char rule[16];
      snprintf(rule, sizeof rule, "rule%d", (int)(i % 10));
      (void)say(f, i, rule, true);
      obs_notify_message m;
      bool was_due = send(f, true, &m);
      obs_notify_message_fini(f->n, &m);
      assert_true(was_due);
      if (i % 2 == 0) (void)say(f, i, rule, false);
      f->now += 2 * S;
      was_due = send(f, true, &m);
      obs_notify_message_fini(f->n, &m);
      assert_int_equal(was_due, i % 2 == 0);
      f->now += 40 * S; /* fewer than 240 an hour */
    }
    obs_notify_counts counts;
    obs_notify_get_counts(f->n, &counts);
    assert_int_equal(counts.ledger.turns > 0, turned);
    assert_int_equal(sent(f, 0), OBS_NOTIFY_REASONS); /* forgets older hours */
    uint32_t nhour = f->n->slots[f->slot].nhour;
    reopen(f, file, turn_bytes);
    assert_int_equal(f->n->nentries, 100);
    for (uint64_t i = 1; i <= 200; i += 2) {
      char rule[16];
      snprintf(rule, sizeof rule, "rule%d", (int)(i % 10));
      (void)say(f, i, rule, true);
    }
    assert_int_equal(sent(f, 0), OBS_NOTIFY_REASONS); /* it knows */
    assert_int_equal(f->n->slots[f->slot].nhour, nhour);
    pthread_mutex_lock(&f->n->lock);
    obs_notify_book_settle(f->n, f->now);
    pthread_mutex_unlock(&f->n->lock);
    f->now += H;
    assert_int_equal(sent(f, 0), OBS_NOTIFY_REASONS);
    for (uint64_t i = 1; i <= 200; i += 2) {
      char rule[16];
      snprintf(rule, sizeof rule, "rule%d", (int)(i % 10));
      (void)say(f, i, rule, false);
    }
    f->now += 2 * S;
    for (int i = 0; i < 5; i++) assert_int_equal(sent(f, 20), OBS_NOTIFY_CHANGE);
    assert_int_equal(f->n->nentries, 0);
    obs_notify_close(f->n);
    f->n = NULL;
    f->now += 2 * H;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(due_in_time, set_up, tear_down),
      cmocka_unit_test_setup_teardown(interval_after_an_answer, set_up, tear_down),
      cmocka_unit_test_setup_teardown(digest_counts_what_was_held_back, set_up, tear_down),
      cmocka_unit_test_setup_teardown(bounded, set_up, tear_down),
      cmocka_unit_test_setup_teardown(away_for_long, set_up, tear_down),
      cmocka_unit_test_setup_teardown(refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(known_from_the_ledger, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
