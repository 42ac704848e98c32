/* Drives the engine of alert rules: ops at times of the test's own, a turn each second, and what happened. */
#ifndef TESTS_ALERT_DRIVER_H
#define TESTS_ALERT_DRIVER_H

#include "alerts/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ALERT_EVENTS = 4096 };

typedef struct {
  char rule[OBS_RULES_ID_MAX + 1], value[OBS_ALERT_VALUE_MAX + 1], text[OBS_ALERT_TEXT_MAX];
  obs_alert_state state;
  int64_t at_s; /* since the beginning */
} alert_event;

typedef struct {
  obs_rules *rules;
  obs_engine *engine;
  obs_clusters *clusters; /* NULL: none */
  obs_engine_look look;
  int64_t began_ms, now_ms;
  uint64_t seq, nevents;
  alert_event *events;
  uint64_t cycle_ms; /* of clusters */
} alert_driver;

static const int64_t alert_t0 = INT64_C(1790000000000);

static inline obs_rules *alert_rules(const char *json) {
  obs_buf faults = {0};
  obs_rules *r = obs_rules_read(json, json != NULL ? strlen(json) : 0, &faults);
  if (r == NULL) fail_msg("%.*s", (int)faults.len, obs_buf_view(&faults).p);
  obs_buf_fini(&faults);
  return r;
}

static inline void alert_begin(alert_driver *d, const char *json) {
  *d = (alert_driver){.rules = alert_rules(json), .began_ms = alert_t0, .now_ms = alert_t0};
  d->engine = obs_engine_open(d->rules);
  d->events = calloc(ALERT_EVENTS, sizeof(*d->events));
  assert_non_null(d->engine);
  assert_non_null(d->events);
  obs_engine_begin(d->engine, d->now_ms, true);
}

static inline void alert_end(alert_driver *d) {
  obs_engine_close(d->engine);
  obs_rules_free(d->rules);
  obs_engine_look_fini(&d->look);
  obs_clusters_close(d->clusters);
  free(d->events);
}

static inline void alert_note(void *arg, const obs_alert *a) {
  alert_driver *d = arg;
  alert_event *e = &d->events[d->nevents++ % ALERT_EVENTS];
  (void)snprintf(e->rule, sizeof(e->rule), "%s", a->rule);
  (void)snprintf(e->value, sizeof(e->value), "%s", a->nlabels > 0 ? a->labels[0].value : "");
  (void)snprintf(e->text, sizeof(e->text), "%s", a->text);
  e->state = a->state;
  e->at_s = (d->now_ms - d->began_ms) / 1000;
}

static inline void alert_turn(alert_driver *d) {
  assert_true(obs_engine_look_at(d->rules, d->clusters, d->now_ms, &d->look));
  for (uint32_t i = 0; i < obs_engine_rules(d->engine); i++)
    obs_engine_turn(d->engine, i, &d->look, d->now_ms, alert_note, d);
}

/* Lets seconds pass. */
static inline void alert_pass(alert_driver *d, int64_t seconds) {
  for (; seconds > 0; seconds--) {
    d->now_ms += 1000;
    if (d->clusters != NULL && d->cycle_ms > 0 &&
        (uint64_t)d->now_ms / d->cycle_ms != (uint64_t)(d->now_ms - 1000) / d->cycle_ms)
      (void)obs_clusters_cycle(d->clusters, d->now_ms);
    alert_turn(d);
  }
}

static inline void alert_give(alert_driver *d, obs_op op, const obs_op_unknown *unknown) {
  obs_op_set_times(&op, d->now_ms, 0);
  d->seq++;
  obs_engine_op(d->engine, &op, unknown, d->seq);
  if (d->clusters != NULL) obs_clusters_apply_row(d->clusters, &op, unknown, d->seq, d->now_ms);
}

static inline obs_op alert_op(const alert_driver *d, const char *endpoint, const char *source, bool ok, int64_t ms,
                              const char *error) {
  obs_op op = {.time_ms = d->now_ms,
               .endpoint = obs_str_of(endpoint),
               .source = obs_str_of(source),
               .success = ok,
               .duration_ms = ms};
  op.present = OBS_BIT(OBS_F_timestamp) | OBS_BIT(OBS_F_endpoint) | OBS_BIT(OBS_F_source) | OBS_BIT(OBS_F_success) |
               OBS_BIT(OBS_F_duration_ms);
  if (error != NULL) {
    op.error = obs_str_of(error);
    op.present |= OBS_BIT(OBS_F_error);
  }
  return op;
}

/* How often the rule did that; `value`: of the first label, NULL: any. */
static inline unsigned alert_count(const alert_driver *d, const char *rule, obs_alert_state state, const char *value) {
  unsigned n = 0;
  for (uint64_t i = 0; i < d->nevents && i < ALERT_EVENTS; i++) {
    const alert_event *e = &d->events[i];
    n += (rule == NULL || strcmp(e->rule, rule) == 0) && e->state == state &&
         (value == NULL || strcmp(e->value, value) == 0);
  }
  return n;
}

#endif
