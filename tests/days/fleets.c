#include "plans.h"

static const char *const bot_endpoint[] = {"bot:cycle"}, *const bot_source[] = {"bot"},
                         *const bot_models[] = {"qwen3", "gpt-oss", "gemma3"},
                         *const bot_events[] = {"ok", "tests_failed", "tests_failed: 2 of 9", "tests_failed: 1 of 4"};

static void bot_result(days_world *w, days_row *r) {
  r->v[DAYS_EVENT] = r->error == DAYS_ERROR_NONE ? 0 : 1 + days_below(w, 3);
}

/* What the event is called is the outcome itself. */
void days_plan_bot(days_world *w, const days_kind *k) {
  (void)k;
  for (int a = 0; a < DAYS_ATTR_COUNT; a++) w->sd[a] = 0;
  for (int a = DAYS_ROLE; a <= DAYS_STATE; a++) w->n[a] = 0;
  for (int a = DAYS_QUEUE; a <= DAYS_COUNT; a++) w->n[a] = 0;
  w->ops = 4000;
  w->base = 0.1;
  w->n[DAYS_ENDPOINT] = w->n[DAYS_SOURCE] = 1;
  w->n[DAYS_STAFFER] = 3;
  w->n[DAYS_TASK] = w->n[DAYS_SIG] = 0;
  w->names[DAYS_ENDPOINT] = bot_endpoint;
  w->names[DAYS_SOURCE] = bot_source;
  w->names[DAYS_STAFFER] = bot_models;
  w->names[DAYS_EVENT] = bot_events;
  w->result = bot_result;
  days_plant_is(days_plant_new(w, 0.45, DAYS_ERROR_GATE), DAYS_STAFFER, 0);
}

/* A word of the outcome in a field of the project's own, in a common fleet. */
static void outcome_result(days_world *w, days_row *r) {
  r->v[DAYS_QUEUE] = r->error == DAYS_ERROR_NONE ? days_below(w, 3) : 3 + days_below(w, 2);
}

void days_plan_outcome_field(days_world *w, const days_kind *k) {
  w->result = outcome_result;
  w->sd[DAYS_QUEUE] = 0;
  days_plan_one_value(w, k);
}

static void simpson_hidden_shape(days_world *w, days_row *r) {
  if (r->v[DAYS_STAFFER] == 3)
    r->v[DAYS_ENDPOINT] = days_below(w, 4);
  else if (days_uniform(w) < 0.7)
    r->v[DAYS_ENDPOINT] = 4 + days_below(w, 8);
}

/* Endpoints get harder one by one (names tell the order); the culprit has only the easy ones, so that it fails no more
 * than others do in all. */
static void simpson_hidden_result(days_world *w, days_row *r) {
  if (r->error == DAYS_ERROR_NONE && days_uniform(w) < 0.004 * r->v[DAYS_ENDPOINT]) r->error = DAYS_ERROR_BROKE;
}

void days_plan_simpson_hidden(days_world *w, const days_kind *k) {
  (void)k;
  w->ops = 140000;
  w->n[DAYS_ENDPOINT] = 12;
  w->n[DAYS_STAFFER] = 20;
  w->sd[DAYS_ENDPOINT] = 0;
  w->base = 0.006;
  w->shape = simpson_hidden_shape;
  w->result = simpson_hidden_result;
  days_plant_is(days_plant_new(w, 0.017, DAYS_ERROR_SCHEMA), DAYS_STAFFER, 3);
}

static void simpson_blame_shape(days_world *w, days_row *r) {
  if (r->v[DAYS_STAFFER] == w->shaped[0] && days_uniform(w) < 0.85)
    r->v[DAYS_ENDPOINT] = w->shaped[1];
  else if (r->v[DAYS_ENDPOINT] == w->shaped[1] && days_uniform(w) < 0.6)
    r->v[DAYS_ENDPOINT] = days_below(w, 4);
}

/* A bad staffer does much of an endpoint's work: the endpoint seems bad. */
void days_plan_simpson_blame(days_world *w, const days_kind *k) {
  (void)k;
  w->shaped[0] = days_below(w, w->n[DAYS_STAFFER]);
  w->shaped[1] = 5 + days_below(w, w->n[DAYS_ENDPOINT] - 5);
  w->shape = simpson_blame_shape;
  days_plant_is(days_plant_new(w, days_between(w, 0.2, 0.4), DAYS_ERROR_SCHEMA), DAYS_STAFFER, w->shaped[0]);
}

/* x ops in all: a window that has just begun. */
void days_plan_young(days_world *w, const days_kind *k) {
  w->ops = (int)k->x;
  w->n[DAYS_STAFFER] = 8;
  w->n[DAYS_ENDPOINT] = 5;
  if (k->nattrs == 0) return;
  days_plant *p = days_plant_new(w, days_between(w, 0.35, 0.6), DAYS_ERROR_SCHEMA);
  days_plant_are(w, p, k->attrs, 1, (int)k->x / 20);
}

/* A fleet of hundreds of staffers and endpoints. */
void days_plan_fleet(days_world *w, const days_kind *k) {
  w->ops = 200000;
  w->n[DAYS_ENDPOINT] = 300;
  w->n[DAYS_STAFFER] = 500;
  w->n[DAYS_TASK] = 80;
  if (k->nattrs > 0) days_plant_one(w, k->attrs[0], days_between(w, 0.3, 0.5), DAYS_ERROR_SCHEMA);
}

void days_plan_lonely(days_world *w, const days_kind *k) {
  w->n[DAYS_ENDPOINT] = w->n[DAYS_SOURCE] = w->n[DAYS_TASK] = 1;
  days_plan_one_value(w, k);
}

static void giant_shape(days_world *w, days_row *r) {
  if (days_uniform(w) < 0.85) r->v[DAYS_ENDPOINT] = 2;
}

/* Nearly all work is of one endpoint, and it goes down. */
void days_plan_giant(days_world *w, const days_kind *k) {
  (void)k;
  w->shape = giant_shape;
  days_plant *p = days_plant_new(w, days_between(w, 0.3, 0.6), DAYS_ERROR_REFUSED);
  days_plant_is(p, DAYS_ENDPOINT, 2);
  p->from = days_between(w, 0.5, 0.85);
}

static void met_shape(days_world *w, days_row *r) {
  if (r->v[DAYS_STAFFER] == w->shaped[0] && days_uniform(w) < 0.5) r->v[DAYS_ENDPOINT] = w->shaped[1];
}

/* A bad staffer works for the most part with a bad endpoint, which others use too. */
void days_plan_met(days_world *w, const days_kind *k) {
  (void)k;
  w->shaped[0] = days_below(w, w->n[DAYS_STAFFER]);
  w->shaped[1] = days_below(w, w->n[DAYS_ENDPOINT] / 2);
  w->shape = met_shape;
  days_plant_is(days_plant_new(w, days_between(w, 0.25, 0.4), DAYS_ERROR_SCHEMA), DAYS_STAFFER, w->shaped[0]);
  days_plant_is(days_plant_new(w, days_between(w, 0.25, 0.4), DAYS_ERROR_PANIC), DAYS_ENDPOINT, w->shaped[1]);
}

static void chains(days_world *w) {
  w->retry = 0.8;
  w->stuck = 0.9;
}

void days_plan_chained(days_world *w, const days_kind *k) {
  chains(w);
  w->base = 0.008;
  days_plant_one(w, k->attrs[0], days_between(w, 0.12, 0.25), DAYS_ERROR_SCHEMA);
}

/* Whoever is free takes up what failed, wherever it can; the sig_hash says that it is the same task. */
void days_plan_handed_on(days_world *w, const days_kind *k) {
  chains(w);
  w->base = 0.008;
  w->handed_on = true;
  w->n[DAYS_SIG] = 4000; /* of each task */
  w->sd[DAYS_SIG] = 0;
  w->absent[DAYS_SESSION] = 1;
  if (k->nattrs > 0) days_plant_one(w, k->attrs[0], days_between(w, 0.15, 0.3), DAYS_ERROR_SCHEMA);
}

/* An endpoint down, and everybody tries again and again. */
void days_plan_storm(days_world *w, const days_kind *k) {
  days_plan_onset(w, k);
  w->retry = 0.9;
  w->plants[0].rate = 0.85;
}

/* Two regions are offline for hours and deliver at the end; an outage in that time was seen by all. */
void days_plan_late_spool(days_world *w, const days_kind *k) {
  (void)k;
  w->late = (days_cond){.attr = DAYS_REGION, .relation = DAYS_IS, .nvalues = 2, .values = {0, 2}};
  w->late_from = 0.15;
  w->late_until = 0.45;
  w->late_at = 0.93;
  if (w->nplants > 0 || k->nattrs == 0) return;
  days_plant *p = days_plant_one(w, DAYS_ENDPOINT, days_between(w, 0.4, 0.7), DAYS_ERROR_REFUSED);
  p->from = days_between(w, 0.18, 0.25);
  p->until = p->from + 0.12;
}

void days_plan_skewed(days_world *w, const days_kind *k) {
  w->skewed = (days_cond){.attr = DAYS_SOURCE, .relation = DAYS_IS, .nvalues = 1, .values = {1}};
  w->skew_ms = (w->seed % 2 ? 1 : -1) * INT64_C(7200000);
  if (k->nattrs > 0) days_plan_onset(w, k);
}

void days_plan_rhythm(days_world *w, const days_kind *k) {
  w->rhythm_load = 0.6;
  w->rhythm_odds = 0.5;
  if (k->nattrs > 0) days_plan_one_value(w, k);
}

void days_plan_long_name(days_world *w, const days_kind *k) {
  w->format[k->attrs[0]] =
      "https://desk-%02d.internal.example/v3/tenants/8d2c1f30-6a57-4d1e-9a40-77e1c0d5b2aa/projects/spring-campaign/"
      "drafts/revisions/by-reviewer/assignments?expand=history,comments,attachments&order=latest";
  days_plan_one_value(w, k);
}

/* Values that hardly come twice. */
void days_plan_crowd(days_world *w, const days_kind *k) {
  w->n[DAYS_TRACE] = 1;
  w->n[DAYS_QUEUE] = 9000;
  w->n[DAYS_SIG] = 4000;
  w->sd[DAYS_QUEUE] = 0;
  if (k->nattrs > 0) days_plan_one_value(w, k);
}

static void rollout_shape(days_world *w, days_row *r) {
  bool after = r->event_ms - DAYS_START > w->shaped[1];
  if (after && days_uniform(w) < 0.4) r->v[w->shaped[0]] = w->shaped[2];
}

/* A new value comes up in the day and is bad from its first op on. */
void days_plan_rollout(days_world *w, const days_kind *k) {
  w->shape = rollout_shape;
  w->shaped[0] = (int)k->attrs[0];
  w->shaped[1] = (int)(days_between(w, 0.4, 0.7) * (double)DAYS_DAY_MS);
  w->shaped[2] = w->n[k->attrs[0]];
  days_plant_is(days_plant_new(w, days_between(w, 0.15, 0.4), DAYS_ERROR_PANIC), k->attrs[0], w->shaped[2]);
}

static void mirror_shape(days_world *w, days_row *r) {
  (void)w;
  r->v[DAYS_QUEUE] = r->v[DAYS_SOURCE];
}

void days_plan_mirror(days_world *w, const days_kind *k) {
  (void)k;
  w->shape = mirror_shape;
  days_plant_one(w, DAYS_SOURCE, days_between(w, 0.15, 0.4), DAYS_ERROR_SCHEMA)->mirror = true;
}

void days_plan_plain(days_world *w, const days_kind *k) {
  (void)w;
  (void)k;
}

void days_plan_big(days_world *w, const days_kind *k) {
  (void)k;
  w->ops = 200000;
}

void days_plan_unequal(days_world *w, const days_kind *k) {
  (void)k;
  w->sd[DAYS_ENDPOINT] = 0.6;
  w->sd[DAYS_TASK] = w->sd[DAYS_STAFFER] = w->sd[DAYS_CITY] = 0.25;
}

void days_plan_overdispersed(days_world *w, const days_kind *k) {
  (void)k;
  w->sd[DAYS_SESSION] = 0.8;
}

void days_plan_bursts(days_world *w, const days_kind *k) {
  (void)k;
  w->bursts = 80;
}

void days_plan_sampled(days_world *w, const days_kind *k) {
  w->ops = 200000;
  w->sampled = 0.2;
  if (k->x > 0) chains(w);
}

void days_plan_only_chains(days_world *w, const days_kind *k) {
  chains(w);
  w->base = k->x;
  if (k->y > 0) w->n[DAYS_ENDPOINT] = w->n[DAYS_SOURCE] = (int)k->y;
}

/* Who tries again succeeds for the most part. */
void days_plan_healing(days_world *w, const days_kind *k) {
  days_plan_only_chains(w, k);
  w->stuck = 0.3;
}

void days_plan_chatter(days_world *w, const days_kind *k) {
  (void)k;
  w->chatter = 12;
}

void days_plan_backfill(days_world *w, const days_kind *k) {
  (void)k;
  w->lastweek = 0.3;
}

static void shift_shape(days_world *w, days_row *r) {
  bool after = r->event_ms - DAYS_START > DAYS_DAY_MS / 2;
  if (days_uniform(w) < 0.6) r->v[DAYS_ENDPOINT] = after ? 5 + days_below(w, 4) : days_below(w, 5);
}

/* The work goes over to endpoints that were always harder or easier. */
void days_plan_shift(days_world *w, const days_kind *k) {
  (void)k;
  w->sd[DAYS_ENDPOINT] = 0.6;
  w->shape = shift_shape;
}

static void newcomers_shape(days_world *w, days_row *r) {
  bool after = r->event_ms - DAYS_START > DAYS_DAY_MS / 2;
  if (!after || days_uniform(w) > 0.3) return;
  r->v[DAYS_ENDPOINT] = w->n[DAYS_ENDPOINT] + days_below(w, 3);
  r->v[DAYS_STAFFER] = w->n[DAYS_STAFFER] + days_below(w, 5);
  r->v[DAYS_VERSION] = w->n[DAYS_VERSION];
}

/* New staffers, endpoints and a new version come up and are as good as the others. */
void days_plan_newcomers(days_world *w, const days_kind *k) {
  (void)k;
  w->shape = newcomers_shape;
}

/* Some minutes have much more load of one endpoint, and nothing comes of it. */
void days_plan_busy(days_world *w, const days_kind *k) {
  (void)k;
  w->ops = 120000;
  w->busy = 1 + days_below(w, w->n[DAYS_ENDPOINT]);
}

void days_plan_near(days_world *w, const days_kind *k) {
  (void)k;
  w->ops = 200000;
  w->base = 0.061;
  w->n[DAYS_SOURCE] = 2;
  w->sd[DAYS_SOURCE] = 0.01;
  w->sd[DAYS_ENDPOINT] = w->sd[DAYS_TASK] = 0.05;
}

void days_plan_no_failures(days_world *w, const days_kind *k) {
  (void)k;
  w->base = 0.0002;
}

void days_plan_chained_onset(days_world *w, const days_kind *k) {
  chains(w);
  w->base = 0.008;
  days_plan_onset(w, k);
}

void days_plan_chained_pair(days_world *w, const days_kind *k) {
  chains(w);
  w->base = 0.008;
  days_plan_together(w, k);
}

/* A week with its rhythm; an outage of some hours in it. */
void days_plan_week(days_world *w, const days_kind *k) {
  days_plan_rhythm(w, &(days_kind){0});
  w->days = 7;
  w->ops = 150000;
  if (k->nattrs > 0) days_plan_recovered(w, k);
}

void days_plan_odd_names(days_world *w, const days_kind *k) {
  w->format[k->attrs[0]] = "Sankt \"Pölten\" %d \\ 北京";
  days_plan_one_value(w, k);
}

/* More ops than the window keeps. */
void days_plan_overflow(days_world *w, const days_kind *k) {
  if (k->nattrs > 0) days_plan_one_value(w, k);
  w->ops = 330000;
}

void days_plan_skewed_and_late(days_world *w, const days_kind *k) {
  days_plan_skewed(w, &(days_kind){0});
  days_plan_late_spool(w, k);
  if (k->nattrs == 0) chains(w);
}

static void bare_shape(days_world *w, days_row *r) {
  (void)w;
  for (int a = 0; a < DAYS_ATTR_COUNT; a++)
    if (a != DAYS_ENDPOINT && a != DAYS_SOURCE && a != DAYS_HOUR && a != DAYS_MINUTE) r->v[a] = DAYS_ABSENT;
}
/* Ops that say little. */
void days_plan_bare(days_world *w, const days_kind *k) {
  w->shape = bare_shape;
  if (k->nattrs > 0) days_plan_onset(w, k);
}

void days_plan_tenth(days_world *w, const days_kind *k) {
  days_plan_unequal(w, k);
  w->base = 0.1;
}

/* A few agents at a few endpoints. */
void days_plan_small(days_world *w, const days_kind *k) {
  w->ops = 10000;
  w->n[DAYS_ENDPOINT] = 2;
  w->n[DAYS_STAFFER] = 4;
  w->n[DAYS_TASK] = 3;
  w->n[DAYS_SOURCE] = 1;
  if (k->nattrs > 0) days_plan_one_value(w, k);
}
