#include "diagnose/columns.h"

#include "base/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MINUTE_MS = 60000, HOUR_MS = 60 * MINUTE_MS, DAY_MS = 24 * HOUR_MS };
enum { LEAST_HOURS = 3, LEAST_DAYS = 2 }; /* of a window in which a minute, an hour comes again */

/* ---- columns ---- */

static bool fill_clock(const obs_facts_view *v, uint16_t **column, int64_t unit, int64_t units) {
  if (!(*column = malloc((v->n + 1) * sizeof **column))) return false;
  for (uint32_t i = 0; i < v->n; i++) {
    int64_t at = v->time_ms[i] / unit % units;
    (*column)[i] = obs_facts_code((double)(at < 0 ? at + units : at));
  }
  return true;
}

bool obs_columns_open(const obs_facts_view *view, obs_columns *c) {
  static const double spreads[OBS_FACT_COUNT] = {
#define COLUMN_SPREAD(name, max, spread) (spread),
      OBS_FACT_FIELDS(COLUMN_SPREAD)
#undef COLUMN_SPREAD
  };
  const double usual = 0.4;
  *c = (obs_columns){.view = view};
  for (int f = 0; f < OBS_FACT_COUNT; f++)
    c->at[f] = (obs_column){.name = obs_fact_names[f],
                            .id = view->id[f],
                            .values = view->values[f],
                            .late = f == OBS_FACT_event_kind || f == OBS_FACT_cycle_id,
                            .model = f != OBS_FACT_session_id && f != OBS_FACT_cycle_id,
                            .spread = spreads[f]};
  for (int k = 0; k < OBS_FACT_MORE; k++) {
    const obs_facts_column *more = &view->more[k];
    c->at[OBS_FACT_COUNT + k] = (obs_column){.name = more->name,
                                             .id = more->id,
                                             .values = more->values,
                                             .number = more->number,
                                             .late = k != OBS_FACT_MORE_count && k != OBS_FACT_MORE_input_length,
                                             .spread = usual};
  }
  int64_t span = view->n > 0 ? view->time_ms[view->n - 1] - view->time_ms[0] : 0;
  bool ok = (span < LEAST_HOURS * HOUR_MS || fill_clock(view, &c->minute, MINUTE_MS, 60)) &&
            (span < (int64_t)LEAST_DAYS * DAY_MS || fill_clock(view, &c->hour, HOUR_MS, 24));
  c->at[OBS_COLUMN_MINUTE] = (obs_column){"minute_of_hour", c->minute, UINT16_MAX + 1, true, false, false, usual};
  c->at[OBS_COLUMN_HOUR] = (obs_column){"hour_of_day", c->hour, UINT16_MAX + 1, true, false, false, usual};
  if (!ok) obs_columns_close(c);
  return ok;
}

void obs_columns_close(obs_columns *c) {
  free(c->minute);
  free(c->hour);
  *c = (obs_columns){0};
}

/* ---- outcomes ---- */

typedef struct {
  uint32_t ops, failures;
} tally;

/* Of the ops, those that the field's values call wrongly when each value is taken for what most of its ops are; an op
 * whose value is rare, or not known, is called by nothing. A field is an outcome when it calls all but one failure in a
 * hundred and all but one success in a thousand rightly, or when no op that has it succeeds: an error's code. */
static bool is_outcome(const tally *by, uint32_t values, uint32_t failures, uint32_t successes) {
  enum { LEAST_OPS = 5 };
  uint64_t missed = 0, wrong = 0, unknown = 0, failing = 0;
  for (uint32_t v = 0; v < values; v++) {
    const tally *t = &by[v];
    if (v == OBS_FACT_OTHER || t->ops < LEAST_OPS) {
      unknown += t->ops;
    } else if (t->failures * 2 > t->ops) {
      wrong += t->ops - t->failures;
      failing += t->failures;
    } else {
      missed += t->failures;
    }
  }
  if (unknown * 20 > (uint64_t)failures + successes || failing == 0) return false;
  if (missed * 100 <= failures && missed * 1000 <= successes && wrong * 100 <= failing) return true;
  uint64_t has_ops = 0, has_failures = 0;
  for (uint32_t v = OBS_FACT_OTHER; v < values; v++) {
    has_ops += by[v].ops;
    has_failures += by[v].failures;
  }
  return has_ops >= LEAST_OPS && (has_ops - has_failures) * 100 <= has_ops && by[OBS_FACT_ABSENT].ops > has_ops;
}

/* The same of a number, by a threshold: `seconds left is 0`. */
static bool is_cut_outcome(const tally *by, uint32_t values, uint32_t failures, uint32_t successes) {
  uint64_t below_ops = 0, below = 0;
  if (by[OBS_FACT_ABSENT].ops * 20 > failures + successes) return false;
  for (uint32_t v = OBS_FACT_NAMED; v + 1 < values; v++) {
    if (by[v].ops == 0) continue;
    below_ops += by[v].ops;
    below += by[v].failures;
    uint64_t good_below = below_ops - below, above = failures - below, good_above = successes - good_below;
    if (good_below * 100 <= below && above * 100 <= failures && above * 1000 <= successes) return true;
    if (good_above * 100 <= above && below * 100 <= failures && below * 1000 <= successes) return true;
  }
  return false;
}

/* ---- consequences ---- */

enum { KINDS = 64, LEAST_OF_KIND = 10 };

/* Failures of one kind, and how many of them are beyond a bound. */
typedef struct {
  uint64_t cluster;
  uint32_t failures, beyond;
} kind_of_failure;

/* A bound that parts failures from successes best. */
typedef struct {
  uint16_t bound;
  bool above;            /* failures are above it, else at most it */
  double failed, worked; /* shares of those that are beyond it */
} parting;

static parting part(const tally *by, uint32_t values, uint32_t failures, uint32_t successes) {
  parting best = {0, true, 0, 0};
  uint32_t failed = 0, worked = 0;
  for (uint32_t v = OBS_FACT_NAMED; v + 1 < values; v++) {
    failed += by[v].failures;
    worked += by[v].ops - by[v].failures;
    const double f = (double)failed / failures, w = (double)worked / successes;
    if (fabs(f - w) <= fabs(best.failed - best.worked)) continue;
    best = f > w ? (parting){(uint16_t)v, false, f, w} : (parting){(uint16_t)v, true, 1 - f, 1 - w};
  }
  return best;
}

static bool is_beyond(const parting *p, uint16_t id) {
  return id >= OBS_FACT_NAMED && (id > p->bound) == p->above;
}

/* Whether a number that is known at the end is what failing makes of it: failures of every kind have it, and not those
 * of one kind that it would cause. Of one kind alone that cannot be told; `alone`: then it is taken for one. */
static bool is_consequence(const obs_columns *c, const obs_column *column, const uint8_t *takes, const tally *by,
                           bool alone) {
  const double clearly = 0.3, most = 0.9; /* of the shares; of the failures that are of a kind that is known */
  const obs_facts_view *v = c->view;
  kind_of_failure kinds[KINDS] = {{0, 0, 0}};
  uint32_t failures = 0, successes = 0;
  for (uint32_t k = OBS_FACT_NAMED; k < column->values; k++) {
    failures += by[k].failures;
    successes += by[k].ops - by[k].failures;
  }
  if (failures < LEAST_OF_KIND || successes == 0) return false;
  const parting p = part(by, column->values, failures, successes);
  if (p.failed - p.worked < clearly) return false;
  for (uint32_t i = 0; i < v->n; i++) {
    if (!takes[i] || !(v->flags[i] & OBS_FACT_FAILED) || column->id[i] < OBS_FACT_NAMED) continue;
    uint32_t at = (uint32_t)(v->cluster[i] % KINDS), tried = 0;
    while (kinds[at].failures > 0 && kinds[at].cluster != v->cluster[i] && ++tried < KINDS) at = (at + 1) % KINDS;
    if (tried == KINDS) continue;
    kinds[at].cluster = v->cluster[i];
    kinds[at].failures++;
    kinds[at].beyond += is_beyond(&p, column->id[i]);
  }
  uint32_t known = 0, n = 0;
  for (uint32_t k = 0; k < KINDS; k++) {
    if (kinds[k].failures < LEAST_OF_KIND) continue;
    if ((double)kinds[k].beyond / kinds[k].failures < (p.failed + p.worked) / 2) return false;
    known += kinds[k].failures;
    n++;
  }
  return n >= (alone ? 1 : 2) && known >= most * failures;
}

/* Whether bots' cycles are what has turns: they are counted until the cycle has ended, well or not. */
static bool is_of_bots(const obs_columns *c, const obs_column *column) {
  const obs_facts_view *v = c->view;
  uint64_t ops = 0, bots = 0;
  if (column != &c->at[OBS_FACT_COUNT + OBS_FACT_MORE_turns]) return false;
  for (uint32_t i = 0; i < v->n; i++) {
    if (column->id[i] < OBS_FACT_NAMED) continue;
    ops++;
    bots += obs_str_eq(obs_facts_view_name(v, OBS_FACT_source, v->id[OBS_FACT_source][i]), OBS_STR("bot"));
  }
  return bots * 20 >= ops * 19;
}

bool obs_columns_drop_outcomes(obs_columns *c, const uint8_t *takes) {
  const obs_facts_view *v = c->view;
  tally *by = malloc((UINT16_MAX + 1) * sizeof *by);
  if (!by) return false;
  for (int f = 0; f < OBS_COLUMNS; f++) {
    obs_column *column = &c->at[f];
    if (!column->id || !column->late) continue;
    memset(by, 0, column->values * sizeof *by);
    uint32_t failures = 0, successes = 0;
    for (uint32_t i = 0; i < v->n; i++) {
      if (!takes[i]) continue;
      bool failed = (v->flags[i] & OBS_FACT_FAILED) != 0;
      by[column->id[i]].ops++;
      by[column->id[i]].failures += failed;
      *(failed ? &failures : &successes) += 1;
    }
    if (failures == 0 || successes == 0) continue;
    if (is_outcome(by, column->values, failures, successes) ||
        (column->number && (is_cut_outcome(by, column->values, failures, successes) ||
                            is_consequence(c, column, takes, by, is_of_bots(c, column)))))
      column->id = NULL;
  }
  free(by);
  return true;
}

/* ---- terms ---- */

bool obs_columns_term_has(const obs_columns_term *t, uint16_t id) {
  switch (t->relation) {
  case OBS_RELATION_IS:
    for (uint32_t k = 0; k < t->n; k++)
      if (t->ids[k] == id) return true;
    return false;
  case OBS_RELATION_ABSENT:
    return id == OBS_FACT_ABSENT;
  case OBS_RELATION_ABOVE:
    return id >= OBS_FACT_NAMED && id > t->bound;
  case OBS_RELATION_AT_MOST:
    return id >= OBS_FACT_NAMED && id <= t->bound;
  default:
    return false;
  }
}

bool obs_columns_where_is_value(const obs_columns_where *w, int column, uint16_t id) {
  if (w->n != 1 || w->terms[0].column != column) return false;
  const obs_columns_term *t = &w->terms[0];
  return id == OBS_FACT_ABSENT ? t->relation == OBS_RELATION_ABSENT
                               : t->relation == OBS_RELATION_IS && t->n == 1 && t->ids[0] == id;
}

bool obs_columns_where_same(const obs_columns_where *a, const obs_columns_where *b) {
  if (a->n != b->n) return false;
  for (uint32_t k = 0; k < a->n; k++) {
    const obs_columns_term *x = &a->terms[k], *y = &b->terms[k];
    if (x->column != y->column || x->relation != y->relation || x->bound != y->bound || x->n != y->n ||
        memcmp(x->ids, y->ids, x->n * sizeof *x->ids) != 0)
      return false;
  }
  return true;
}

/* ---- text ---- */

/* The number of the id with the fewest digits: itself where it is whole and stands for one number, else one within
 * those that it stands for, that is within 1 in 512. */
static double plain_number(uint16_t id) {
  double least = obs_facts_number(id), next = id < UINT16_MAX ? obs_facts_number((uint16_t)(id + 1)) : least;
  if (next - least <= 1 && floor(least) >= least) return least;
  for (int digits = 0; digits < 10; digits++) {
    char text[32];
    (void)snprintf(text, sizeof text, "%.*e", digits, (least + next) / 2);
    double rounded = strtod(text, NULL);
    if (rounded >= least && rounded <= next) return rounded;
  }
  return least;
}

void obs_columns_text(const obs_columns *c, int column, uint16_t id, char out[OBS_FACT_NAME + 1]) {
  out[0] = '\0';
  if (id < OBS_FACT_NAMED) return;
  if (c->at[column].number) {
    obs_number_format(plain_number(id), out);
    return;
  }
  obs_str name = column < OBS_FACT_COUNT ? obs_facts_view_name(c->view, (obs_fact_field)column, id)
                                         : obs_facts_column_name(c->view, &c->view->more[column - OBS_FACT_COUNT], id);
  size_t n = name.len < OBS_FACT_NAME ? name.len : OBS_FACT_NAME;
  if (n > 0) memcpy(out, name.p, n);
  out[n] = '\0';
}

static int by_text(const void *a, const void *b) {
  return strcmp(a, b);
}

void obs_columns_describe(const obs_columns *c, const obs_columns_term *t, obs_diagnose_condition *out) {
  (void)snprintf(out->field, sizeof(out->field), "%s", c->at[t->column].name);
  out->relation = t->relation;
  if (t->relation == OBS_RELATION_ABOVE || t->relation == OBS_RELATION_AT_MOST) out->number = plain_number(t->bound);
  if (t->relation != OBS_RELATION_IS) return;
  for (uint32_t k = 0; k < t->n && k < OBS_FINDING_VALUES; k++)
    obs_columns_text(c, t->column, t->ids[k], out->values[out->nvalues++]);
  out->more = t->n - out->nvalues;
  if (!c->at[t->column].number) qsort(out->values, out->nvalues, sizeof out->values[0], by_text);
}
