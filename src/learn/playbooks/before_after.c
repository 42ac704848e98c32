#include "learn/playbooks/before_after.h"

#include "base/utf8.h"
#include "diagnose/retries.h"
#include "diagnose/stats.h"

#include <math.h>
#include <stdlib.h>

enum { NONE = UINT32_MAX };

/* Scopes by the id of their endpoint, or of their task class when they have no endpoint: lists through `next`. */
typedef struct {
  const obs_facts_view *view;
  const obs_before_after_scope *scopes;
  uint32_t *by_endpoint, *by_class; /* first scope of each id */
  uint32_t *next;
  uint16_t *class; /* of a scope with both: its task class's id */
} counting;

/* ABSENT: no op of the view has that name. */
static uint16_t find(const obs_facts_view *view, obs_fact_field field, obs_str text) {
  obs_str name = obs_utf8_cut_str(text, OBS_FACT_NAME);
  for (uint32_t id = OBS_FACT_NAMED; id < view->values[field]; id++)
    if (obs_str_eq(obs_facts_view_name(view, field, (uint16_t)id), name)) return (uint16_t)id;
  return OBS_FACT_ABSENT;
}

uint64_t obs_before_after_last(const obs_facts_view *view) {
  uint64_t last = 0;
  for (uint32_t row = 0; row < view->n; row++)
    if (view->seq[row] > last) last = view->seq[row];
  return last;
}

static uint32_t *make_heads(uint32_t n) {
  uint32_t *heads = malloc(((size_t)n + 1) * sizeof(*heads));
  for (uint32_t i = 0; heads != NULL && i <= n; i++) heads[i] = NONE;
  return heads;
}

static void note(const counting *c, uint32_t scope, uint32_t row) {
  const obs_facts_view *v = c->view;
  for (; scope != NONE; scope = c->next[scope]) {
    obs_before_after *e = c->scopes[scope].effect;
    if (c->class[scope] != OBS_FACT_ABSENT && c->class[scope] != v->id[OBS_FACT_task_class][row]) continue;
    if (v->seq[row] <= e->through_seq) continue;
    if (v->seq[row] <= e->since_seq || (v->flags[row] & OBS_FACT_LATE) != 0) continue;
    obs_before_after_side *side = &e->windows[e->ended % OBS_SINCE_WINDOWS];
    side->ops++;
    if ((v->flags[row] & OBS_FACT_FAILED) != 0) side->failures++;
  }
}

observer_err obs_before_after_count(const obs_facts_view *view, const obs_before_after_scope *scopes, uint32_t n) {
  if (view->n == 0 || n == 0) return OBSERVER_E_OK;
  counting c = {view,
                scopes,
                make_heads(view->values[OBS_FACT_endpoint]),
                make_heads(view->values[OBS_FACT_task_class]),
                calloc(n, sizeof(*c.next)),
                calloc(n, sizeof(*c.class))};
  bool ok = c.by_endpoint != NULL && c.by_class != NULL && c.next != NULL && c.class != NULL;
  if (ok) {
    for (uint32_t i = 0; i < n; i++) {
      const obs_before_after_scope *s = &scopes[i];
      bool of_endpoint = s->endpoint.len > 0, of_class = s->task_class.len > 0;
      uint16_t endpoint = of_endpoint ? find(view, OBS_FACT_endpoint, s->endpoint) : OBS_FACT_ABSENT;
      uint16_t class = of_class ? find(view, OBS_FACT_task_class, s->task_class) : OBS_FACT_ABSENT;
      if ((of_endpoint && endpoint == OBS_FACT_ABSENT) || (of_class && class == OBS_FACT_ABSENT)) continue;
      if (!of_endpoint && !of_class) continue;
      uint32_t *head = of_endpoint ? &c.by_endpoint[endpoint] : &c.by_class[class];
      c.class[i] = of_endpoint ? class : OBS_FACT_ABSENT;
      c.next[i] = *head;
      *head = i;
    }
    for (uint32_t row = 0; row < view->n; row++) {
      note(&c, c.by_endpoint[view->id[OBS_FACT_endpoint][row]], row);
      note(&c, c.by_class[view->id[OBS_FACT_task_class][row]], row);
    }
    uint64_t last = obs_before_after_last(view);
    for (uint32_t i = 0; i < n; i++) {
      obs_before_after *e = scopes[i].effect;
      if (e->through_seq < last) e->through_seq = last;
      if (e->windows[e->ended % OBS_SINCE_WINDOWS].ops >= OBS_SINCE_WINDOW_OPS) {
        e->ended++;
        e->windows[e->ended % OBS_SINCE_WINDOWS] = (obs_before_after_side){0, 0};
      }
      obs_before_after_settle(e);
    }
  }
  free(c.by_endpoint);
  free(c.by_class);
  free(c.next);
  free(c.class);
  return ok ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

obs_before_after_side obs_before_after_since(const obs_before_after *e) {
  obs_before_after_side sum = {0, 0};
  for (uint32_t i = 0; i < OBS_SINCE_WINDOWS; i++) {
    sum.ops += e->windows[i].ops;
    sum.failures += e->windows[i].failures;
  }
  return sum;
}

/* ---- the episode ---- */

/* ln of the likelihood of k failures in n ops at the rate k / n. */
static double log_likelihood(double k, double n) {
  return (k > 0 ? k * log(k / n) : 0) + (k < n ? (n - k) * log(1 - k / n) : 0);
}

typedef struct {
  const bool *failed;
  uint32_t n, failures;
  uint32_t from, to; /* the best so far; equal: none */
  double gain;       /* in log likelihood, over one rate for all */
} episode_search;

/* The stretch whose outcomes speak most for the rate `in` against the rate `out`: the largest sum of a part (Kadane).
 */
static void find_stretch(const episode_search *s, double in, double out, uint32_t *from, uint32_t *to) {
  double if_failed = log(in / out), if_not = log((1 - in) / (1 - out)), sum = 0, most = 0;
  uint32_t start = 0;
  *from = *to = 0;
  for (uint32_t i = 0; i < s->n; i++) {
    if (sum <= 0) {
      sum = 0;
      start = i;
    }
    sum += s->failed[i] ? if_failed : if_not;
    if (sum <= most) continue;
    most = sum;
    *from = start;
    *to = i + 1;
  }
}

/* Looks for the stretch, and with the rates in it and outside once more, until it stays. */
static void refine(episode_search *s, double in, double out) {
  enum { ROUNDS = 4 };
  for (int round = 0; round < ROUNDS; round++) {
    uint32_t from, to, k = 0;
    find_stretch(s, in, out, &from, &to);
    if (to == from) return;
    for (uint32_t i = from; i < to; i++) k += s->failed[i];
    double inside = to - from, outside = s->n - inside, rest = s->failures - k;
    in = (k + 0.5) / (inside + 1);
    out = (rest + 0.5) / (outside + 1);
    if (in <= out) return;
    double gain = log_likelihood(k, inside) + (outside > 0 ? log_likelihood(rest, outside) : 0) -
                  log_likelihood(s->failures, s->n);
    bool twice = in * (1 - out) >= 2 * out * (1 - in); /* the odds */
    if (!twice || gain <= s->gain) continue;
    s->gain = gain;
    s->from = from;
    s->to = to;
  }
}

/* The third lowest of the failure rates of 16 parts: the usual rate, when the episode takes up to three quarters. */
static double usual_rate(const bool *failed, uint32_t n) {
  enum { PARTS = 16 };
  double rates[PARTS] = {0};
  for (uint32_t part = 0; part < PARTS; part++) {
    uint32_t from = (uint32_t)((uint64_t)n * part / PARTS), to = (uint32_t)((uint64_t)n * (part + 1) / PARTS), k = 0;
    for (uint32_t i = from; i < to; i++) k += failed[i];
    double rate = (k + 0.5) / (to - from + 1);
    uint32_t at = part;
    for (; at > 0 && rates[at - 1] > rate; at--) rates[at] = rates[at - 1];
    rates[at] = rate;
  }
  return rates[2];
}

/* How much n ops with k failures speak for the rate outside against that of the episode. */
static double speaks_for_outside(double k, double n, double in, double out) {
  return k * log(out / in) + (n - k) * log((1 - out) / (1 - in));
}

/* Ops at an end of the window that hardly show that the episode is not there yet, or over, are taken to it. */
static void take_ends(episode_search *s) {
  static const double enough = 3;
  double k = 0, before = 0, behind = 0;
  for (uint32_t i = 0; i < s->n; i++) {
    if (!s->failed[i]) continue;
    *(i < s->from ? &before : i < s->to ? &k : &behind) += 1;
  }
  double inside = s->to - s->from, outside = s->n - inside;
  double in = (k + 0.5) / (inside + 1), out = (before + behind + 0.5) / (outside + 1);
  if (speaks_for_outside(before, s->from, in, out) < enough) s->from = 0;
  if (speaks_for_outside(behind, s->n - s->to, in, out) < enough) s->to = s->n;
}

bool obs_before_after_episode(const bool *failed, uint32_t n, uint32_t *from, uint32_t *to) {
  /* There are fewer than n² stretches, and the gain of each exceeds x with a probability of about e^-x: of all windows
   * without an episode, e^-chance have a stretch that is taken for one, at most. */
  static const double chance = 4, odds[] = {3, 10, 100};
  episode_search s = {.failed = failed, .n = n};
  for (uint32_t i = 0; i < n; i++) s.failures += failed[i];
  if (n == 0 || s.failures == 0 || s.failures == n) return false;
  const double starts[] = {(s.failures + 0.5) / (n + 1.0), usual_rate(failed, n)};
  for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++) {
    for (size_t k = 0; k < sizeof(odds) / sizeof(*odds); k++) {
      double more = odds[k] * starts[i] / (1 - starts[i]);
      refine(&s, more / (1 + more), starts[i]);
    }
  }
  bool found = s.to > s.from && s.gain > 2 * log(n) + chance;
  if (found) take_ends(&s);
  *from = s.from;
  *to = s.to;
  return found;
}

/* The scope's ops of a view, in order. */
typedef struct {
  uint8_t *takes, *again; /* of each row: whether it is of the scope; whether it goes on with a failed attempt */
  bool *failed;           /* of each trial, ... */
  uint32_t *rows;         /* ... and where it is */
  uint32_t n;
} trials;

static bool make_trials(const obs_facts_view *view, const obs_before_after_scope *scope, trials *t) {
  bool of_endpoint = scope->endpoint.len > 0, of_class = scope->task_class.len > 0;
  uint16_t endpoint = of_endpoint ? find(view, OBS_FACT_endpoint, scope->endpoint) : OBS_FACT_ABSENT;
  uint16_t class = of_class ? find(view, OBS_FACT_task_class, scope->task_class) : OBS_FACT_ABSENT;
  size_t rows = (size_t)view->n + 1;
  *t = (trials){calloc(rows, 1), calloc(rows, 1), calloc(rows, sizeof(bool)), calloc(rows, sizeof(uint32_t)), 0};
  if (t->takes == NULL || t->again == NULL || t->failed == NULL || t->rows == NULL) return false;
  bool known = (of_endpoint || of_class) && (!of_endpoint || endpoint != OBS_FACT_ABSENT) &&
               (!of_class || class != OBS_FACT_ABSENT);
  for (uint32_t row = 0; row < view->n && known; row++)
    t->takes[row] = (!of_endpoint || view->id[OBS_FACT_endpoint][row] == endpoint) &&
                    (!of_class || view->id[OBS_FACT_task_class][row] == class);
  if (!obs_retries_find(view, t->takes, t->again)) return false;
  for (uint32_t row = 0; row < view->n; row++) {
    if (!t->takes[row] || t->again[row]) continue;
    t->failed[t->n] = (view->flags[row] & OBS_FACT_FAILED) != 0;
    t->rows[t->n++] = row;
  }
  return true;
}

static void free_trials(trials *t) {
  free(t->takes);
  free(t->again);
  free(t->failed);
  free(t->rows);
}

observer_err obs_before_after_begin(const obs_facts_view *view, const obs_before_after_scope *scope) {
  obs_before_after *e = scope->effect;
  uint64_t last = obs_before_after_last(view);
  trials t;
  *e = (obs_before_after){.since_seq = last, .through_seq = last};
  bool ok = make_trials(view, scope, &t);
  if (ok) {
    /* A task that is tried again and again is one failure here: else its run would be taken for an episode. */
    uint32_t from = 0, to = 0, ends = view->n, begins = ends;
    if (obs_before_after_episode(t.failed, t.n, &from, &to)) {
      begins = t.rows[from];
      if (to < t.n) ends = t.rows[to];
    }
    for (uint32_t row = 0; row < view->n; row++) {
      if (!t.takes[row] || (row >= begins && row < ends)) continue;
      e->before.ops++;
      e->before.failures += (view->flags[row] & OBS_FACT_FAILED) != 0;
    }
    /* What fails more often than not, and was never better on record, is an episode all along: there is no before. */
    if (2 * e->before.failures > e->before.ops) e->before = (obs_before_after_side){0, 0};
  }
  free_trials(&t);
  return ok ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

/* ---- the interval ---- */

static double log_mixture(obs_before_after_side s) {
  return obs_stats_mixture((double)s.failures, (double)s.ops);
}

static double slope(obs_before_after_side s, double p) {
  double k = (double)s.failures, n = (double)s.ops;
  return (k > 0 ? k / p : 0) - (k < n ? (n - k) / (1 - p) : 0);
}

static double log_likelihood_at(obs_before_after_side s, double p) {
  return obs_stats_likelihood((double)s.failures, (double)s.ops, p);
}

/* The largest log likelihood with a rate p before and p + d since: it is concave in p, so its slope is followed. */
static double log_likelihood_of(obs_before_after_side before, obs_before_after_side since, double d) {
  double low = fmax(0, -d), high = fmin(1, 1 - d);
  for (int i = 0; i < 50; i++) {
    double p = (low + high) / 2;
    if (slope(before, p) + slope(since, p + d) > 0)
      low = p;
    else
      high = p;
  }
  double p = (low + high) / 2;
  return log_likelihood_at(before, p) + log_likelihood_at(since, p + d);
}

/* The two-sample e-process: of a difference d it is the mixture's likelihood over the largest that rates with that
 * difference give the data, E(d) = M(before) M(since) / max over p of L(before; p) L(since; p + d). Its mean is at most
 * 1 whatever the rates are, after each op, so that d is ever excluded, E(d) >= 20, with 5 % at most. */
obs_before_after_interval obs_before_after_compare(obs_before_after_side before, obs_before_after_side since) {
  double difference = (double)since.failures / (double)since.ops - (double)before.failures / (double)before.ops;
  double least = log_mixture(before) + log_mixture(since) - log(20), ends[2];
  for (int side = 0; side < 2; side++) {
    double in = difference, out = side == 0 ? -1 : 1;
    for (int i = 0; i < 40; i++) {
      double d = (in + out) / 2;
      if (log_likelihood_of(before, since, d) > least)
        in = d;
      else
        out = d;
    }
    ends[side] = (in + out) / 2;
  }
  return (obs_before_after_interval){difference, ends[0], ends[1]};
}

void obs_before_after_settle(obs_before_after *e) {
  const obs_before_after_side since = obs_before_after_since(e);
  bool both = e->before.ops > 0 && since.ops > 0;
  e->change = both ? obs_before_after_compare(e->before, since) : (obs_before_after_interval){0};
}
