#include "plans.h"

/* One value fails more, all day. */
void days_plan_one_value(days_world *w, const days_kind *k) {
  if (k->x > 0) w->n[k->attrs[0]] = (int)k->x;
  days_plant_one(w, k->attrs[0], days_between(w, 0.1, 0.5), DAYS_ERROR_SCHEMA);
}

/* A short run of ops of one session or cycle, that fails for the most part. */
void days_plan_one_run(days_world *w, const days_kind *k) {
  days_plant_one(w, k->attrs[0], days_between(w, 0.5, 0.8), DAYS_ERROR_SCHEMA);
}

/* Values of several fields fail only together. */
void days_plan_together(days_world *w, const days_kind *k) {
  if (k->nattrs > 2) w->ops = 120000;
  for (int i = 0; i < k->nattrs; i++)
    if (k->nattrs > 2 && k->attrs[i] == DAYS_CITY) w->n[DAYS_CITY] = 12;
  days_plant *p = days_plant_new(w, days_between(w, 0.5, 0.8), DAYS_ERROR_SCHEMA);
  days_plant_are(w, p, k->attrs, k->nattrs, k->nattrs > 2 ? 160 : DAYS_ENOUGH);
  p->from = k->x > 0 ? days_between(w, k->x, k->y) : 0;
}

/* An endpoint goes down at some time between x and y. */
void days_plan_onset(days_world *w, const days_kind *k) {
  days_plant *p = days_plant_one(w, k->attrs[0], days_between(w, 0.25, 0.6), DAYS_ERROR_REFUSED);
  p->from = days_between(w, k->x, k->y);
}

/* The same of few endpoints, one of them down for the last tenth. */
void days_plan_few_endpoints(days_world *w, const days_kind *k) {
  w->n[DAYS_ENDPOINT] = 4 + days_below(w, 3);
  days_plan_onset(w, k);
  w->plants[0].rate = days_between(w, 0.8, 1);
}

void days_plan_recovered(days_world *w, const days_kind *k) {
  days_plan_onset(w, k);
  w->plants[0].until = w->plants[0].from + days_between(w, 0.08, 0.2);
}

/* An outage that comes and goes is one cause. */
void days_plan_flapping(days_world *w, const days_kind *k) {
  (void)k;
  days_plant_one(w, DAYS_ENDPOINT, days_between(w, 0.5, 0.8), DAYS_ERROR_REFUSED);
  for (int i = 0; i < 3; i++) {
    if (i > 0) w->plants[w->nplants++] = w->plants[0];
    days_plant *p = &w->plants[i];
    p->from = 0.15 + 0.25 * i + days_between(w, 0, 0.1);
    p->until = p->from + 0.03;
    p->joined = i > 0;
  }
}

void days_plan_grows(days_world *w, const days_kind *k) {
  (void)k;
  days_plant *p = days_plant_one(w, DAYS_STAFFER, days_between(w, 0.4, 0.7), DAYS_ERROR_MEMORY);
  p->grows = true;
  p->from = 0.1;
}

void days_plan_everything(days_world *w, const days_kind *k) {
  (void)k;
  days_plant_new(w, days_between(w, 0.2, 0.6), DAYS_ERROR_AUTH)->from = days_between(w, 0.4, 0.9);
}

void days_plan_deployed(days_world *w, const days_kind *k) {
  days_plan_onset(w, k);
  w->plants[0].deploy = true;
  w->plants[0].error = DAYS_ERROR_PANIC;
}

void days_plan_corrected(days_world *w, const days_kind *k) {
  (void)k;
  days_plant *p = days_plant_one(w, DAYS_SIG, days_between(w, 0.3, 0.5), DAYS_ERROR_GATE);
  p->corrected = true;
  p->from = days_between(w, 0.3, 0.7);
  p->rate_before = days_between(w, 0.04, 0.08);
}

void days_plan_helped(days_world *w, const days_kind *k) {
  (void)k;
  days_plant *p = days_plant_one(w, DAYS_SIG, days_between(w, 0.4, 0.6), DAYS_ERROR_GATE);
  p->until = days_between(w, 0.4, 0.6);
  p->helped = true;
}

/* Durations rise; x of the ops time out. */
void days_plan_slow(days_world *w, const days_kind *k) {
  days_plant *p = days_plant_one(w, k->attrs[0], k->x > 0 ? days_between(w, 0.05, 0.15) : 0, DAYS_ERROR_TIMEOUT);
  p->slower = days_between(w, 3, 5);
  p->from = days_between(w, 0.3, 0.7);
}

/* x of the y values of a field are bad. */
void days_plan_several(days_world *w, const days_kind *k) {
  w->n[k->attrs[0]] = (int)k->y;
  days_plant *p = days_plant_new(w, k->y > 2 ? 0.6 : days_between(w, 0.15, 0.3), DAYS_ERROR_SCHEMA);
  w->base = 0.02;
  days_cond *c = days_plant_cond(p, k->attrs[0]);
  int first = days_below(w, (int)k->y);
  while (c->nvalues < (int)k->x) {
    c->values[c->nvalues] = (first + c->nvalues * 5) % (int)k->y; /* 12, 3 and 2 have no common divisor with 5 */
    if (k->y == 5) c->values[c->nvalues] = (first + c->nvalues * 2) % 5;
    c->nvalues++;
  }
}

/* What they all need breaks at some time. */
void days_plan_several_since(days_world *w, const days_kind *k) {
  days_plan_several(w, k);
  w->base = 0.012;
  w->plants[0].error = DAYS_ERROR_REFUSED;
  w->plants[0].from = days_between(w, 0.3, 0.8);
}

void days_plan_limit_then_outage(days_world *w, const days_kind *k) {
  (void)k;
  w->ops = 100000;
  w->base = 0.003;
  w->sd[DAYS_ENDPOINT] = 0.2;
  w->n[DAYS_ENDPOINT] = 8;
  days_plant *limit = days_plant_one(w, DAYS_ENDPOINT, 0.015, DAYS_ERROR_LIMIT);
  days_plant *outage = days_plant_new(w, 0.4, DAYS_ERROR_REFUSED);
  days_plant_is(outage, DAYS_ENDPOINT, limit->conds[0].values[0]);
  outage->from = days_between(w, 0.7, 0.85);
  outage->first = true;
}

/* An outage; who tries again meets a rate limit there, which may be told or not. */
void days_plan_outage_then_limit(days_world *w, const days_kind *k) {
  days_plan_onset(w, k);
  w->plants[0].first = true;
  w->plants[0].rate = 0.6;
  days_plant *p = &w->plants[w->nplants++];
  *p = w->plants[0];
  p->from += 0.01;
  p->rate = 0.1;
  p->error = DAYS_ERROR_LIMIT;
  p->first = false;
  p->optional = true;
}

void days_plan_load_limit(days_world *w, const days_kind *k) {
  (void)k;
  w->ops = 120000;
  int e = days_below(w, w->n[DAYS_ENDPOINT] / 2);
  w->busy = 1 + e;
  days_plant *p = days_plant_new(w, 0, DAYS_ERROR_LIMIT);
  days_plant_is(p, DAYS_ENDPOINT, e);
  p->limit = 38;
}

/* Each city is in one state: the city is bad, or the whole state. */
void days_plan_nested(days_world *w, const days_kind *k) {
  w->n[DAYS_STATE] = 6 + days_below(w, 3);
  days_plant_one(w, k->attrs[0], days_between(w, 0.15, 0.4), DAYS_ERROR_MISSING);
}

/* Numbers from x to y. */
void days_plan_range(days_world *w, const days_kind *k) {
  days_plant *p = days_plant_new(w, days_between(w, 0.2, 0.5), DAYS_ERROR_SCHEMA);
  for (int n = (int)k->x; n <= (int)k->y; n++) {
    if (p->nconds == 0)
      days_plant_is(p, k->attrs[0], n);
    else
      p->conds[0].values[p->conds[0].nvalues++] = n;
  }
}

/* A number above or below a limit. */
void days_plan_threshold(days_world *w, const days_kind *k) {
  days_plant *p = days_plant_new(w, days_between(w, 0.2, 0.5), DAYS_ERROR_SCHEMA);
  days_cond *c = days_plant_cond(p, k->attrs[0]);
  c->relation = k->y > 0 ? DAYS_AT_MOST : DAYS_ABOVE;
  c->number = (int32_t)k->x;
  if (k->nattrs > 1) {
    p->rate = days_between(w, 0.5, 0.8);
    days_plant_are(w, p, &k->attrs[1], 1, 2 * DAYS_ENOUGH);
  }
}

/* Ops without the field, all or of one value of another. */
void days_plan_absence(days_world *w, const days_kind *k) {
  w->absent[k->attrs[0]] = k->nattrs > 1 ? 0.2 : days_between(w, 0.05, 0.15);
  days_plant *p = days_plant_new(w, days_between(w, 0.2, 0.5), DAYS_ERROR_SCHEMA);
  days_plant_cond(p, k->attrs[0])->relation = DAYS_IS_ABSENT;
  if (k->nattrs > 1) {
    p->rate = days_between(w, 0.5, 0.8);
    days_plant_are(w, p, &k->attrs[1], 1, 8 * DAYS_ENOUGH);
  }
}

/* A number of the producers' own in extra. */
void days_plan_tokens(days_world *w, const days_kind *k) {
  w->n[DAYS_TOKENS] = 9000;
  days_plan_threshold(w, k);
}

/* A value is often missing: no cause of its own, but another field is. */
void days_plan_absence_elsewhere(days_world *w, const days_kind *k) {
  w->absent[DAYS_ROLE] = 0.3;
  w->absent[DAYS_VERSION] = 0.2;
  w->absent[DAYS_TASK] = 0.1;
  days_plan_one_value(w, k);
}

/* x minutes of each hour, or one hour of each of several days; of all ops, or of one value of another field. */
void days_plan_clockwork(days_world *w, const days_kind *k) {
  days_plant *p = days_plant_new(w, days_between(w, 0.25, 0.5), DAYS_ERROR_TIMEOUT);
  if (k->attrs[0] == DAYS_HOUR) {
    w->days = 5;
    w->ops = 80000;
  }
  int first = days_below(w, k->attrs[0] == DAYS_HOUR ? 24 : 56);
  days_cond *c = days_plant_cond(p, k->attrs[0]);
  for (; c->nvalues < (int)k->x; c->nvalues++) c->values[c->nvalues] = first + c->nvalues;
  if (k->nattrs == 1) return;
  w->ops = 120000;
  p->rate = days_between(w, 0.5, 0.8);
  days_plant_are(w, p, &k->attrs[1], 1, 40 * DAYS_ENOUGH);
}

/* As many causes as there are attributes, each on its own. */
void days_plan_independent(days_world *w, const days_kind *k) {
  static const days_error errors[] = {DAYS_ERROR_SCHEMA, DAYS_ERROR_AUTH, DAYS_ERROR_PANIC};
  w->ops = 90000;
  for (int i = 0; i < k->nattrs; i++) days_plant_one(w, k->attrs[i], days_between(w, 0.2, 0.4), errors[i]);
}

void days_plan_share_and_onset(days_world *w, const days_kind *k) {
  days_plan_independent(w, k);
  w->plants[1].from = days_between(w, 0.3, 0.8);
}

/* Two endpoints go down at different times, with different errors. */
void days_plan_two_outages(days_world *w, const days_kind *k) {
  (void)k;
  int first = days_below(w, 4), second = first + 1 + days_below(w, 3);
  days_plant *p = days_plant_new(w, days_between(w, 0.3, 0.6), DAYS_ERROR_REFUSED);
  days_plant_is(p, DAYS_ENDPOINT, first);
  p->from = days_between(w, 0.3, 0.45);
  p = days_plant_new(w, days_between(w, 0.3, 0.6), DAYS_ERROR_AUTH);
  days_plant_is(p, DAYS_ENDPOINT, second);
  p->from = days_between(w, 0.6, 0.85);
}

void days_plan_rare(days_world *w, const days_kind *k) {
  (void)k;
  w->ops = 20000;
  w->base = 0;
  days_plant *p = days_plant_one(w, k->attrs[0], 0, DAYS_ERROR_SCHEMA);
  p->exactly = 8;
}

void days_plan_one_cluster(days_world *w, const days_kind *k) {
  days_plan_one_value(w, k);
  w->plants[0].error = DAYS_ERROR_GATE; /* which no noise has */
  w->ask_cluster = true;
}

/* The noise is loud: a third of all fails. */
void days_plan_loud(days_world *w, const days_kind *k) {
  (void)k;
  w->base = 0.33;
  days_plant_one(w, k->attrs[0], days_between(w, 0.5, 0.6), DAYS_ERROR_SCHEMA);
}

/* Nothing else ever fails. */
void days_plan_silent(days_world *w, const days_kind *k) {
  days_plan_one_value(w, k);
  w->base = 0;
}

void days_plan_dead(days_world *w, const days_kind *k) {
  days_plan_one_value(w, k);
  w->plants[0].rate = 1;
}

/* Few of its ops fail more than others do. */
void days_plan_weak(days_world *w, const days_kind *k) {
  w->ops = 120000;
  w->n[DAYS_STAFFER] = 20;
  days_plant_one(w, k->attrs[0], days_between(w, 0.04, 0.06), DAYS_ERROR_SCHEMA);
}

/* Two pairs of values, each bad only together. */
void days_plan_two_pairs(days_world *w, const days_kind *k) {
  static const days_attr pairs[2][2] = {{DAYS_CITY, DAYS_ROLE}, {DAYS_SOURCE, DAYS_EVENT}};
  static const days_error errors[2] = {DAYS_ERROR_SCHEMA, DAYS_ERROR_PANIC};
  (void)k;
  w->ops = 90000;
  for (int i = 0; i < 2; i++)
    days_plant_are(w, days_plant_new(w, days_between(w, 0.5, 0.8), errors[i]), pairs[i], 2, DAYS_ENOUGH);
}

/* One endpoint goes down twice, each time with another error. */
void days_plan_down_twice(days_world *w, const days_kind *k) {
  days_plan_onset(w, k);
  days_plant *first = &w->plants[0], *second = &w->plants[w->nplants++];
  first->until = first->from + 0.1;
  *second = *first;
  second->from += 0.4;
  second->until = 0;
  second->error = DAYS_ERROR_AUTH;
}

/* A quota: it is a rate limit, and load does not explain it. */
void days_plan_quota(days_world *w, const days_kind *k) {
  if (k->x > 0)
    days_plan_onset(w, k);
  else
    days_plan_one_value(w, k);
  w->plants[0].error = DAYS_ERROR_LIMIT;
}

/* It is down altogether, and has only just gone. */
void days_plan_just_now(days_world *w, const days_kind *k) {
  days_plan_onset(w, k);
  w->plants[0].rate = days_between(w, 0.8, 1);
}

/* Of a value: from some time on, or all day. */
static void mix_value(days_world *w, days_plant *p, const days_attr *attrs) {
  days_plant_are(w, p, attrs, 1, 4 * DAYS_ENOUGH);
  if (days_uniform(w) < 0.4) p->from = days_between(w, 0.2, 0.8);
}

static void mix_pair(days_world *w, days_plant *p, const days_attr *attrs) {
  p->rate += 0.4;
  days_plant_are(w, p, attrs, 2, DAYS_ENOUGH);
}

static void mix_above(days_world *w, days_plant *p, const days_attr *attrs) {
  days_cond *c = days_plant_cond(p, attrs[0]);
  c->relation = DAYS_ABOVE;
  c->number = attrs[0] == DAYS_LENGTH ? 700 : 9 + days_below(w, 2);
}

static void mix_absent(days_world *w, days_plant *p, const days_attr *attrs) {
  w->absent[attrs[0]] = 0.08;
  days_plant_cond(p, attrs[0])->relation = DAYS_IS_ABSENT;
}

/* x causes of any sorts at once, each of fields of its own; the last one may be a quota. */
void days_plan_mixed(days_world *w, const days_kind *k) {
  static const struct {
    void (*plant)(days_world *w, days_plant *p, const days_attr *attrs);
    days_attr attrs[2];
  } sorts[] = {
      {mix_value, {DAYS_ENDPOINT, 0}},     {mix_value, {DAYS_STAFFER, 0}},        {mix_value, {DAYS_CITY, 0}},
      {mix_value, {DAYS_MODEL, 0}},        {mix_value, {DAYS_SOURCE, 0}},         {mix_above, {DAYS_COUNT, 0}},
      {mix_above, {DAYS_TURNS, 0}},        {mix_above, {DAYS_LENGTH, 0}},         {mix_absent, {DAYS_VERSION, 0}},
      {mix_pair, {DAYS_ROLE, DAYS_EVENT}}, {mix_pair, {DAYS_QUEUE, DAYS_REGION}},
  };
  static const days_error errors[] = {DAYS_ERROR_GATE, DAYS_ERROR_AUTH, DAYS_ERROR_MEMORY, DAYS_ERROR_PANIC};
  enum { SORTS = sizeof(sorts) / sizeof(sorts[0]) };
  w->ops = 120000;
  int first = days_below(w, SORTS), step = 1 + days_below(w, SORTS - 1); /* SORTS is a prime */
  for (int i = 0; i < (int)k->x; i++) {
    int sort = (first + i * step) % SORTS;
    days_error error = k->y > 0 && i == (int)k->x - 1 ? DAYS_ERROR_LIMIT : errors[i];
    sorts[sort].plant(w, days_plant_new(w, days_between(w, 0.15, 0.4), error), sorts[sort].attrs);
  }
}
