#include "diagnose/search_steps.h"

#include "diagnose/stats.h"

#include <math.h>
#include <stdlib.h>

static const double least_for_all = 3; /* the lift of an onset of all rows: a daily rhythm rises too */

typedef struct {
  double seen, expected, plain, still, still_plain, ops;
} sums;

static void add(sums *to, const sums *x) {
  to->seen += x->seen;
  to->expected += x->expected;
  to->plain += x->plain;
  to->still += x->still;
  to->still_plain += x->still_plain;
  to->ops += x->ops;
}

static void add_row(const obs_logit *m, sums *to, uint32_t i) {
  to->seen += m->failed[i];
  to->expected += m->rate[i];
  to->plain += m->plain[i];
  to->still += m->still[i];
  to->still_plain += m->still_plain[i];
  to->ops++;
}

/* Whether the rate rose by enough at this point: seen / expected of before, half a failure added, is what was usual. */
static bool rose(const sums *all, const sums *before, bool still, double least) {
  double seen = all->seen - before->seen;
  double expected = still ? all->still - before->still : all->expected - before->expected;
  if (seen < OBS_SEARCH_MORE || expected <= 0) return false;
  double usual = (before->seen + 0.5) / ((still ? before->still : before->expected) + 0.5);
  double more = seen - expected * usual;
  double plain = (still ? all->still_plain - before->still_plain : all->plain - before->plain) * usual;
  if (seen / (all->ops - before->ops) < OBS_SEARCH_PLAINLY * (before->seen + 0.5) / (before->ops + 1)) return false;
  return more >= OBS_SEARCH_MORE && more >= (least - 1) * (plain + 0.5);
}

static double ratio_of(const sums *all, const sums *before, bool still) {
  return still ? obs_stats_change(before->seen, before->still, all->seen - before->seen, all->still - before->still)
               : obs_stats_change(before->seen, before->expected, all->seen - before->seen,
                                  all->expected - before->expected);
}

/* The change points nearest the ends are left out: the maximum is over [edge, 1 - edge] of the failures, and a failure
 * is the least step that can be seen. */
static double sup_p(double ratio, double seen) {
  return ratio > 0 ? obs_stats_sup(ratio, 1 / fmax(seen, 20)) : 0;
}

double obs_search_rise(const obs_search *s, const uint32_t *rows, uint32_t n, bool still, double least, uint32_t *at) {
  const obs_logit *m = s->model;
  sums all = {0}, before = {0};
  double most = 0;
  for (uint32_t k = 0; k < n; k++) add_row(m, &all, rows ? rows[k] : k);
  for (uint32_t k = 0; k < n; k++) {
    uint32_t i = rows ? rows[k] : k;
    if (m->failed[i] && rose(&all, &before, still, least)) {
      double ratio = ratio_of(&all, &before, still);
      if (ratio > most) {
        most = ratio;
        *at = i;
      }
    }
    add_row(m, &before, i);
  }
  return sup_p(most, all.seen);
}

double obs_search_fall(const obs_search *s, const uint32_t *rows, uint32_t n, bool still, uint32_t *at) {
  const obs_logit *m = s->model;
  sums all = {0}, before = {0};
  double most = 0;
  for (uint32_t k = 0; k < n; k++) add_row(m, &all, rows[k]);
  for (uint32_t k = 0; k < n; k++) {
    add_row(m, &before, rows[k]);
    double seen = all.seen - before.seen, expected = still ? all.still - before.still : all.expected - before.expected;
    if (!m->failed[rows[k]] || before.seen < OBS_SEARCH_SEEN || expected <= 0) continue;
    if ((seen + 0.5) / (expected + 0.5) * 3 > before.seen / (still ? before.still : before.expected)) continue;
    double ratio = ratio_of(&all, &before, still);
    if (ratio <= most) continue;
    most = ratio;
    *at = rows[k] + 1;
  }
  return sup_p(most, all.seen);
}

/* ---- what comes and goes ---- */

typedef struct {
  double good, bad; /* shares of failures */
} two_shares;

/* The likeliest course of rows between good and bad times (Viterbi); each change costs log(n), for it may be at any
 * row. `state`: by row, the way back; then whether it is bad. */
static void follow_course(const obs_logit *m, const uint32_t *rows, uint32_t n, two_shares p, uint8_t *state) {
  enum { FROM_BAD_TO_GOOD = 1, FROM_GOOD_TO_BAD = 2 };
  const double change = log((double)n + 1), fail[2] = {log(p.good), log(p.bad)},
               work[2] = {log(1 - p.good), log(1 - p.bad)};
  double good = 0, bad = -change;
  for (uint32_t k = 0; k < n; k++) {
    const bool failed = m->failed[rows[k]];
    state[k] = (uint8_t)((bad - change > good ? FROM_BAD_TO_GOOD : 0) | (good - change > bad ? FROM_GOOD_TO_BAD : 0));
    const double was_good = good;
    good = fmax(good, bad - change) + (failed ? fail[0] : work[0]);
    bad = fmax(bad, was_good - change) + (failed ? fail[1] : work[1]);
  }
  bool is_bad = bad > good;
  for (uint32_t k = n; k-- > 0;) {
    const uint8_t back = state[k];
    state[k] = is_bad;
    if (back & (is_bad ? FROM_GOOD_TO_BAD : FROM_BAD_TO_GOOD)) is_bad = !is_bad;
  }
}

static double between(double least, double x, double most) {
  return x < least ? least : x > most ? most : x;
}

/* Spells of at least LEAST failures in the course, once the shares of both times are learned from it. */
static uint32_t count_spells(const obs_logit *m, const uint32_t *rows, uint32_t n, uint8_t *state) {
  enum { ROUNDS = 4, LEAST = 5, TIMES = 4 };
  double all = 0;
  for (uint32_t k = 0; k < n; k++) all += m->failed[rows[k]];
  two_shares p = {between(0.001, all / n / 4, 0.2), between(0.05, all / n * 4, 0.9)};
  uint32_t spells = 0;
  for (int round = 0; round < ROUNDS; round++) {
    double ops[2] = {1, 1}, failures[2] = {0.02, 0.5}; /* a little of what is usual, so that none is 0 */
    uint32_t run = 0;
    follow_course(m, rows, n, p, state);
    spells = 0;
    for (uint32_t k = 0; k < n; k++) {
      run = state[k] ? run + m->failed[rows[k]] : 0;
      ops[state[k]]++;
      failures[state[k]] += m->failed[rows[k]];
      spells += state[k] && (k + 1 == n || !state[k + 1]) && run >= LEAST;
    }
    p = (two_shares){between(0.001, failures[0] / ops[0], 0.5), between(0.02, failures[1] / ops[1], 0.99)};
    if (p.bad < TIMES * p.good) return 0;
  }
  return spells;
}

bool obs_search_comes_and_goes(const obs_search *s, const obs_columns_where *where) {
  enum { SPELLS = 3, LEAST_ROWS = 50 };
  uint32_t n;
  uint32_t *rows = obs_logit_rows(s->model, where, 0, s->model->n, &n);
  uint8_t *state = rows && n >= LEAST_ROWS ? malloc(n) : NULL;
  const bool spells = state && count_spells(s->model, rows, n, state) >= SPELLS;
  free(state);
  free(rows);
  return spells;
}

/* ---- each value of a column ---- */

enum { RISERS = 512 };

typedef struct {
  uint16_t id;
  uint32_t at;
  double p, rank; /* at all, and whatever all rows do */
} riser;

/* The values of a column that rose, by parts of the window: sums of each value and part first, then every border
 * between two parts is tried. Risers are written to the scratch's begin. */
static uint32_t scan(const obs_search *s, int f) {
  const obs_logit *m = s->model;
  riser *risers = s->scratch;
  uint16_t *place = (uint16_t *)(risers + RISERS);
  sums *parts = (sums *)(place + UINT16_MAX + 1);
  const size_t room =
      (OBS_SEARCH_SCRATCH - (size_t)((char *)parts - (char *)s->scratch)) / (OBS_SEARCH_PARTS * sizeof *parts);
  double least = OBS_SEARCH_SEEN;
  uint32_t n;
  do { /* those with the most failures, where there are too many */
    n = 0;
    memset(place, 0, m->values[f] * sizeof *place);
    for (uint32_t v = 0; v < m->values[f]; v++) {
      if (m->seen[f][v] < least || !obs_search_tries(s, f, v)) continue;
      if (n < RISERS && n < room) risers[n] = (riser){.id = (uint16_t)v};
      place[v] = (uint16_t)++n;
    }
    least *= 1.5;
  } while (n > RISERS || n > room);
  memset(parts, 0, n * OBS_SEARCH_PARTS * sizeof *parts);
  for (uint32_t i = 0; n > 0 && i < m->n; i++) {
    uint16_t at = place[m->id[f][i]];
    if (at) add_row(m, &parts[(at - 1) * OBS_SEARCH_PARTS + s->part[i]], i);
  }
  for (uint32_t k = 0; k < n; k++) {
    sums all = {0}, before = {0};
    double most = 0, most_still = 0;
    for (int p = 0; p < OBS_SEARCH_PARTS; p++) add(&all, &parts[k * OBS_SEARCH_PARTS + (uint32_t)p]);
    for (uint32_t p = 0; p < OBS_SEARCH_PARTS; p++) {
      if (p > 0 && rose(&all, &before, false, OBS_SEARCH_TRY)) {
        double ratio = ratio_of(&all, &before, false);
        if (ratio > most) {
          most = ratio;
          most_still = ratio_of(&all, &before, true);
          risers[k].at = s->part_from[p];
        }
      }
      add(&before, &parts[k * OBS_SEARCH_PARTS + p]);
    }
    risers[k].p = sup_p(most, all.seen) + log(s->tests);
    risers[k].rank = fmin(0, sup_p(fmax(most, most_still), all.seen) + log(s->tests));
  }
  return n;
}

void obs_search_onsets(const obs_search *s, int f, obs_search_candidate *best) {
  const obs_logit *m = s->model;
  const riser *risers = s->scratch;
  uint32_t n = scan(s, f);
  for (uint32_t k = 0; k < n; k++) {
    const riser *r = &risers[k];
    if (r->p >= log(OBS_SEARCH_ALPHA)) continue;
    obs_search_candidate c = {OBS_CAUSE_ONSET,
                              obs_columns_where_is(f, obs_logit_view_id(m, f, r->id)),
                              r->at,
                              m->n,
                              r->p,
                              r->rank,
                              -1,
                              false};
    obs_search_offer(s, best, &c);
  }
}

void obs_search_onset_of_all(const obs_search *s, obs_search_candidate *best) {
  const obs_logit *m = s->model;
  uint32_t at = 0;
  double p = obs_search_rise(s, NULL, m->n, true, least_for_all, &at) + log(s->tests);
  obs_search_candidate c = {OBS_CAUSE_ONSET, {0}, at, m->n, p, p, -1, false};
  obs_search_offer(s, best, &c);
}

/* The other way round: everything failed, from the window's begin on, until it ended. It has to account for most of the
 * failures: what was over soon after the window began explains nothing of it. */
void obs_search_end_of_all(const obs_search *s, obs_search_candidate *best) {
  const obs_logit *m = s->model;
  const obs_columns_where all = {0};
  uint32_t n, at = m->n, before = 0;
  uint32_t *rows = obs_logit_rows(m, &all, 0, m->n, &n);
  double p = rows ? obs_search_fall(s, rows, n, true, &at) + log(s->tests) : 0;
  free(rows);
  for (uint32_t i = 0; i < at; i++) before += m->failed[i];
  if (before * 2 < m->cases) return;
  const obs_search_candidate c = {OBS_CAUSE_SHARE, all, 0, at, p, p, -1, false};
  obs_search_offer(s, best, &c);
}

void obs_search_grow_onset(const obs_search *s, obs_search_candidate *c) {
  const obs_logit *m = s->model;
  obs_columns_term *term = &c->where.terms[0];
  if (c->cause != OBS_CAUSE_ONSET || c->where.n != 1 || term->relation != OBS_RELATION_IS || term->n != 1) return;
  const uint32_t near = m->n / 50;
  const riser *risers = s->scratch;
  uint32_t n = scan(s, term->column);
  for (uint32_t k = 0; k < n && term->n < OBS_TERM_VALUES; k++) {
    uint16_t id = obs_logit_view_id(m, term->column, risers[k].id);
    if (id == term->ids[0] || id < OBS_FACT_NAMED || risers[k].p >= log(OBS_SEARCH_ALPHA)) continue;
    if (risers[k].at + near < c->from || risers[k].at > c->from + near) continue;
    term->ids[term->n++] = id;
  }
  for (uint32_t k = 1; k < term->n; k++) /* ascending */
    for (uint32_t j = k; j > 0 && term->ids[j] < term->ids[j - 1]; j--) {
      uint16_t id = term->ids[j];
      term->ids[j] = term->ids[j - 1];
      term->ids[j - 1] = id;
    }
}
