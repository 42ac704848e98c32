/* A scripted day of a fleet: 200,000 ops, with causes of failure planted where the script says so, and noise.
 *
 * Noise: endpoints differ in how often they fail (0.3 to 4 %) and in how they fail; staffers differ a little and work
 * mostly with a few endpoints each; task classes belong to endpoints; load and failures follow a rhythm of the day;
 * durations are log-normal. The same script makes the same day. */
#ifndef TESTS_DAY_H
#define TESTS_DAY_H

#include "op/op.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
  DAY_OPS = 200000,
  DAY_MINUTES = 1440,
  DAY_ENDPOINTS = 16,
  DAY_STAFFERS = 60,
  DAY_TASKS = 12,
  DAY_SIGS = 120, /* ten of each task */
  DAY_CITIES = 24,
  DAY_STATES = 8,
  DAY_ROLES = 8,
  DAY_NAME = 24,
};
#define DAY_START INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */

/* What is planted; a rate of 0: it is not. */
typedef struct {
  uint64_t seed;
  int slow_endpoint, slow_minute;
  double slow_times, slow_timeouts;
  int bad_staffer;
  double staffer_rate;
  int broken_task;
  double task_rate;
  int limited_endpoint;
  double limit; /* ops a minute, in units of its mean */
  int regressed_sig;
  double correction_at, rate_before, rate_after; /* part of the day */
} day_script;

typedef struct {
  day_script script;
  uint64_t random;
  char endpoints[DAY_ENDPOINTS][DAY_NAME], staffers[DAY_STAFFERS][DAY_NAME], tasks[DAY_TASKS][DAY_NAME];
  char sigs[DAY_SIGS][DAY_NAME], cities[DAY_CITIES][DAY_NAME], states[DAY_STATES][DAY_NAME];
  char roles[DAY_ROLES][DAY_NAME];
  double base[DAY_ENDPOINTS], popular[DAY_ENDPOINTS], typical_ms[DAY_ENDPOINTS], careless[DAY_STAFFERS];
  double limited_mean;
  int minute, limited_in_minute;
  bool busy;
} day;

static inline double day_uniform(day *d) {
  d->random ^= d->random << 13;
  d->random ^= d->random >> 7;
  d->random ^= d->random << 17;
  return (double)(d->random >> 11) / 9007199254740992.0;
}
static inline int day_below(day *d, int n) {
  return (int)(day_uniform(d) * n);
}
static inline double day_normal(day *d) {
  double u = day_uniform(d) + 1e-12, v = day_uniform(d);
  return sqrt(-2 * log(u)) * cos(6.283185307 * v);
}

/* A script with all five causes; values, sizes and times differ by seed. */
static inline day_script day_planted(uint64_t seed) {
  day r = {.random = seed * 7919 + 13};
  for (int i = 0; i < 10; i++) day_uniform(&r);
  day_script s = {.seed = seed};
  s.limited_endpoint = day_below(&r, DAY_ENDPOINTS);
  s.slow_endpoint = (s.limited_endpoint + 1 + day_below(&r, DAY_ENDPOINTS - 1)) % DAY_ENDPOINTS;
  s.slow_minute = 200 + day_below(&r, 1000);
  s.slow_times = 2.5 + 3 * day_uniform(&r);
  s.slow_timeouts = 0.03 + 0.1 * day_uniform(&r);
  s.bad_staffer = day_below(&r, DAY_STAFFERS);
  s.staffer_rate = 0.06 + 0.2 * day_uniform(&r);
  s.broken_task = day_below(&r, DAY_TASKS);
  s.task_rate = 0.15 + 0.4 * day_uniform(&r);
  s.limit = 1.6 + 0.6 * day_uniform(&r);
  do {
    s.regressed_sig = day_below(&r, DAY_SIGS);
  } while (s.regressed_sig / 10 == s.broken_task);
  s.correction_at = 0.25 + 0.5 * day_uniform(&r);
  s.rate_before = 0.05 + 0.05 * day_uniform(&r);
  s.rate_after = s.rate_before + 0.15 + 0.2 * day_uniform(&r);
  return s;
}

#define DAY_NAMES(d, field, n, format)                                                                                 \
  for (int i_ = 0; i_ < (n); i_++) snprintf((d)->field[i_], DAY_NAME, format, i_)

static inline void day_begin(day *d, const day_script *script) {
  *d = (day){.script = *script, .random = script->seed * UINT64_C(0x9e3779b97f4a7c15) + 1, .minute = -1};
  for (int i = 0; i < 20; i++) day_uniform(d);
  DAY_NAMES(d, endpoints, DAY_ENDPOINTS, "/v1/service-%02d");
  DAY_NAMES(d, staffers, DAY_STAFFERS, "agent-%02d");
  DAY_NAMES(d, tasks, DAY_TASKS, "task.%02d");
  DAY_NAMES(d, sigs, DAY_SIGS, "5e1f%08x");
  DAY_NAMES(d, cities, DAY_CITIES, "City %02d");
  DAY_NAMES(d, states, DAY_STATES, "S%d");
  DAY_NAMES(d, roles, DAY_ROLES, "role-%d");
  double sum = 0;
  for (int e = 0; e < DAY_ENDPOINTS; e++) {
    d->base[e] = fmin(0.04, fmax(0.003, 0.012 * exp(0.6 * day_normal(d))));
    d->popular[e] = 1 / (1 + 0.25 * ((e * 7 + (int)script->seed) % DAY_ENDPOINTS));
    d->typical_ms[e] = 60 * exp(2.5 * day_uniform(d));
    sum += d->popular[e];
  }
  for (int e = 0; e < DAY_ENDPOINTS; e++) d->popular[e] /= sum;
  for (int s = 0; s < DAY_STAFFERS; s++) d->careless[s] = exp(0.15 * day_normal(d));
  d->limited_mean = (double)DAY_OPS / DAY_MINUTES * d->popular[script->limited_endpoint];
}

static inline int day_endpoint(day *d) {
  double x = day_uniform(d);
  int e = 0;
  while (e < DAY_ENDPOINTS - 1 && (x -= d->popular[e]) > 0) e++;
  return e;
}

/* Four in five of an endpoint's ops are done by a dozen staffers. */
static inline int day_staffer(day *d, int endpoint) {
  if (day_uniform(d) < 0.2) return day_below(d, DAY_STAFFERS);
  return (endpoint * 7 + day_below(d, 12)) % DAY_STAFFERS;
}

static inline int day_task(day *d, int endpoint) {
  return (endpoint * 5 + (day_uniform(d) < 0.9 ? day_below(d, 3) : day_below(d, DAY_TASKS))) % DAY_TASKS;
}

static inline double day_rhythm(double part) {
  return 1 + 0.5 * sin(6.283185307 * (part - 0.3));
}

/* Minute of op `i`: more ops in busy hours. */
static inline double day_part(uint32_t i) {
  double want = (double)i / DAY_OPS, part = want;
  for (int k = 0; k < 6; k++) {
    double at = part - 0.5 / 6.283185307 * (cos(6.283185307 * (part - 0.3)) - cos(6.283185307 * -0.3));
    part += (want - at) / day_rhythm(part);
  }
  return part < 0 ? 0 : part > 0.999999 ? 0.999999 : part;
}

static inline void day_set(obs_op *op, obs_op_field field, obs_str *member, const char *text) {
  *member = (obs_str){text, (uint32_t)strlen(text), 0};
  op->present |= OBS_BIT(field);
}
#define DAY_SET(op, name, text) day_set(op, OBS_F_##name, &(op)->name, text)

static inline void day_fail(obs_op *op, const char *error) {
  op->success = false;
  DAY_SET(op, error, error);
}

static inline void day_plant(day *d, obs_op *op, int e, int staffer, int task, int sig, double part) {
  const day_script *s = &d->script;
  if (s->slow_times > 0 && e == s->slow_endpoint && part * DAY_MINUTES >= s->slow_minute) {
    op->duration_ms = (int64_t)((double)op->duration_ms * s->slow_times);
    if (day_uniform(d) < s->slow_timeouts) {
      op->duration_ms = 30000 + day_below(d, 40);
      day_fail(op, "upstream request timed out after 30000 ms");
    }
  }
  if (s->staffer_rate > 0 && staffer == s->bad_staffer && day_uniform(d) < s->staffer_rate)
    day_fail(op, "schema violation: field shift missing");
  if (s->task_rate > 0 && task == s->broken_task && day_uniform(d) < s->task_rate) day_fail(op, "no such template");
  if (s->limit > 0 && e == s->limited_endpoint && ++d->limited_in_minute > s->limit * d->limited_mean) {
    op->duration_ms = 2 + day_below(d, 5);
    day_fail(op, "HTTP 429 Too Many Requests");
  }
  double regressed = part >= s->correction_at ? s->rate_after : s->rate_before;
  if (s->rate_after > 0 && sig == s->regressed_sig && day_uniform(d) < regressed)
    day_fail(op, "quality gate: rejected");
}

/* Op `i` of the day; its texts live as long as `d`. */
static inline void day_op(day *d, uint32_t i, obs_op *op) {
  static const char *const errors[] = {"connection refused by 10.0.0.7:8080", "record 4711 not found",
                                       "invalid argument: count", "internal server error", "request timed out"};
  static const char *const sources[] = {"mcp", "scenario", "langfuse", "scrum"};
  static const char *const kinds[] = {"fill", "rescue", "expansion", "audit", "sync"};
  *op = (obs_op){0};
  double part = day_part(i);
  int minute = (int)(part * DAY_MINUTES);
  if (minute != d->minute) {
    d->minute = minute;
    d->limited_in_minute = 0;
    d->busy = day_uniform(d) < 0.08;
  }
  int e = day_endpoint(d);
  if (d->busy && day_uniform(d) < 0.15) e = d->script.limited_endpoint;
  int staffer = day_staffer(d, e), task = day_task(d, e), city = day_below(d, DAY_CITIES);
  int sig = task * 10 + day_below(d, 10);
  op->present = OBS_BIT(OBS_F_timestamp) | OBS_BIT(OBS_F_success) | OBS_BIT(OBS_F_duration_ms);
  op->time_ms = DAY_START + (int64_t)(part * DAY_MINUTES * 60000);
  op->success = true;
  op->duration_ms = (int64_t)(d->typical_ms[e] * exp(0.5 * day_normal(d)) * (0.8 + 0.2 * day_rhythm(part)));
  DAY_SET(op, endpoint, d->endpoints[e]);
  DAY_SET(op, staffer_id, d->staffers[staffer]);
  DAY_SET(op, task_class, d->tasks[task]);
  DAY_SET(op, sig_hash, d->sigs[sig]);
  DAY_SET(op, city, d->cities[city]);
  DAY_SET(op, state, d->states[city % DAY_STATES]);
  DAY_SET(op, role, d->roles[day_below(d, DAY_ROLES)]);
  DAY_SET(op, source, sources[day_below(d, 4)]);
  DAY_SET(op, event_kind, kinds[day_below(d, 5)]);
  if (day_uniform(d) < d->base[e] * d->careless[staffer] * (0.5 + 0.5 * day_rhythm(part)))
    day_fail(op, errors[day_uniform(d) < 0.7 ? e % 5 : day_below(d, 5)]);
  day_plant(d, op, e, staffer, task, sig, part);
}

/* Whether the overseer's correction comes before op `i`; then `op` is it. */
static inline bool day_correction(day *d, uint32_t i, obs_op *op) {
  const day_script *s = &d->script;
  if (s->rate_after <= 0 || i == 0 || day_part(i - 1) >= s->correction_at || day_part(i) < s->correction_at)
    return false;
  *op = (obs_op){.success = true, .time_ms = DAY_START + (int64_t)(s->correction_at * DAY_MINUTES * 60000)};
  op->present = OBS_BIT(OBS_F_timestamp) | OBS_BIT(OBS_F_success) | OBS_BIT(OBS_F_duration_ms);
  DAY_SET(op, endpoint, "overseer:gpt-oss:120b");
  DAY_SET(op, source, "overseer_correction");
  DAY_SET(op, correction, "relax the quality gate");
  DAY_SET(op, sig_hash, d->sigs[s->regressed_sig]);
  DAY_SET(op, task_class, d->tasks[s->regressed_sig / 10]);
  return true;
}

#endif
