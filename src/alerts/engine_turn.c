/* States: what holds, what it is in words, and the way from one state to the next. */
#include "alerts/engine_internal.h"

#include "base/hex.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* CLEAR lets an alert end, BETWEEN neither begins nor ends one. */
typedef enum { CLEAR, BETWEEN, HOLDS } verdict;

typedef struct {
  obs_engine *e;
  obs_engine_runtime *t;
  int64_t now_ms;
  obs_engine_event event;
  void *arg;
} turn;

typedef struct {
  verdict verdict;
  double value, threshold;
  int64_t since_ms; /* it holds since then; 0: since this turn */
  /* Two numbers that stay as they are as long as the words do; and what the words need besides, NULL where the form has
   * none. */
  uint64_t n, m;
  uint64_t within_ms; /* of a rate: the window that they are of */
  const char *text;   /* of a kind of failure, or why the daemon fails */
  const char *place;
  obs_cluster_state state;
} finding;

/* ---- words ---- */

/* ` of endpoint /v1/chat and source bot`, or nothing. */
static const char *where(const turn *x, const obs_engine_group *g, char *out, size_t size) {
  obs_alert_label labels[OBS_ALERT_LABELS];
  uint32_t n = obs_engine_labels(x->t, g, labels);
  size_t len = 0;
  out[0] = '\0';
  for (uint32_t i = 0; i < n && len < size; i++)
    len += (size_t)snprintf(out + len, size - len, "%s%s %s", i == 0 ? " of " : " and ", labels[i].name,
                            labels[i].value[0] != '\0' ? labels[i].value : "(none)");
  return out;
}

/* A text that snprintf may have cut in a character. */
static void mend(char *text) {
  size_t n = strlen(text), at = 0, k;
  while (at < n && (k = obs_utf8_char(text + at, n - at)) > 0) at += k;
  text[at] = '\0';
}

/* ---- what holds ---- */

static void find_op(const turn *x, obs_engine_group *g, finding *f) {
  const obs_rule *r = x->t->rule;
  obs_engine_roll(x->t, g, x->now_ms);
  f->value = (double)g->sum_m;
  f->threshold = (double)r->at_least;
  f->verdict = g->sum_m >= r->at_least ? HOLDS : CLEAR;
  f->m = g->sum_m;
}

/* What the last `ms` of the window have, to the exactness of its buckets. */
static void last_of(const turn *x, const obs_engine_group *g, uint64_t ms, uint64_t *n, uint64_t *m) {
  int64_t buckets = (int64_t)ms / x->t->bucket_ms;
  *n = *m = 0;
  for (int64_t b = g->window->bucket - buckets; b <= g->window->bucket; b++) {
    if (b <= g->window->bucket - OBS_ENGINE_BUCKETS || b < 0) continue;
    *n += g->window->n[b % OBS_ENGINE_BUCKETS];
    *m += g->window->m[b % OBS_ENGINE_BUCKETS];
  }
}

/* The one-sided quantile of the normal distribution (Abramowitz and Stegun 26.2.23: to 0.0005). */
static double quantile(double confidence) {
  double p = 1 - confidence, t = sqrt(-2 * log(p));
  return t -
         (2.515517 + 0.802853 * t + 0.010328 * t * t) / (1 + 1.432788 * t + 0.189269 * t * t + 0.001308 * t * t * t);
}

/* Wilson's lower bound of a share. */
static double lower_bound(uint64_t m, uint64_t n, double confidence) {
  double z = quantile(confidence), p = (double)m / (double)n, k = (double)n;
  return (p + z * z / (2 * k) - z * sqrt(p * (1 - p) / k + z * z / (4 * k * k))) / (1 + z * z / k);
}

static void find_rate(const turn *x, obs_engine_group *g, finding *f) {
  const obs_rule *r = x->t->rule;
  uint64_t n, m;
  obs_engine_roll(x->t, g, x->now_ms);
  double share = g->sum_n > 0 ? (double)g->sum_m / (double)g->sum_n : 0;
  /* With a shorter window to be clear in, no op there says nothing, unless the longer one is empty as well. */
  last_of(x, g, r->clear_within_ms > 0 ? r->clear_within_ms : r->within_ms, &n, &m);
  bool clear_long = g->sum_n == 0 || share < r->clear_below;
  bool clear_short = n > 0 && (double)m / (double)n < r->clear_below;
  bool above =
      g->sum_n >= r->min_ops && (r->confidence > 0 ? lower_bound(g->sum_m, g->sum_n, r->confidence) : share) > r->above;
  f->threshold = r->above;
  f->verdict = clear_long || clear_short ? CLEAR : above ? HOLDS : BETWEEN;
  bool is_short = clear_short && !clear_long;
  f->n = is_short ? n : g->sum_n;
  f->m = is_short ? m : g->sum_m;
  f->within_ms = is_short ? r->clear_within_ms : r->within_ms;
  f->value = is_short ? (double)m / (double)n : share;
}

static bool is_regular(const obs_engine_group *g) {
  return g->used && g->ops >= OBS_ENGINE_REGULAR_OPS;
}

static bool goes_on(const turn *x, const obs_engine_group *g) {
  return x->now_ms - g->last_ms <= (g->longest_ms > 60000 ? g->longest_ms : 60000);
}

static int by_time(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

/* Counts the groups that are regular, and when each of those that go on was back from its last long pause: once a turn,
 * for each group that is missed asks how many others there are. add_group has made room. */
static void count_regular(const turn *x) {
  obs_engine_runtime *t = x->t;
  if (t->regular_ms == x->now_ms) return;
  t->regular_ms = x->now_ms;
  t->regular = t->resumed.n = 0;
  for (uint32_t i = 1; i < t->groups.n; i++) {
    const obs_engine_group *g = &t->groups.at[i];
    if (!is_regular(g)) continue;
    t->regular++;
    if (goes_on(x, g)) t->resumed.at[t->resumed.n++] = g->resumed_ms;
  }
  if (t->resumed.n > 0) qsort(t->resumed.at, t->resumed.n, sizeof(*t->resumed.at), by_time);
}

/* Whether most of the other groups that are regular go on, and did all the time: a pause of the whole fleet is nobody's
 * silence, nor is its end, when some come back before others. */
static bool others_go_on(const turn *x, const obs_engine_group *g) {
  count_regular(x);
  const obs_engine_runtime *t = x->t;
  bool counted = g != &t->groups.at[0] && is_regular(g);
  uint32_t others = t->regular - counted, low = 0, high = t->resumed.n;
  while (low < high) { /* those that were back by then */
    uint32_t middle = low + (high - low) / 2;
    if (t->resumed.at[middle] <= g->last_ms)
      low = middle + 1;
    else
      high = middle;
  }
  uint32_t going = low - (counted && goes_on(x, g) && g->resumed_ms <= g->last_ms);
  return going * 2 > others;
}

static void find_absence(const turn *x, obs_engine_group *g, finding *f) {
  const obs_rule *r = x->t->rule;
  int64_t from = g->last_ms > x->e->began_ms ? g->last_ms : x->e->began_ms, least = (int64_t)r->for_ms;
  if (r->learned && g->longest_ms * OBS_ENGINE_PAUSES > least) least = g->longest_ms * OBS_ENGINE_PAUSES;
  int64_t gap = x->now_ms - from;
  bool regular = !r->learned || (g->ops >= OBS_ENGINE_REGULAR_OPS &&
                                 g->last_ms - g->first_ms >= OBS_ENGINE_REGULAR_MS && g->last_ms > 0);
  f->value = (double)gap / 1000;
  f->threshold = (double)least / 1000;
  f->since_ms = from;
  if (g->alert != NULL && g->alert->state != OBS_ALERT_PENDING)
    f->verdict = g->last_ms > g->alert->fired_ms ? CLEAR : BETWEEN; /* an op ends it, nothing else */
  else
    f->verdict = regular && gap >= least && (!r->learned || others_go_on(x, g)) ? HOLDS : CLEAR;
  /* As exact as people say it: after an hour minutes, after a day hours. */
  int64_t unit = gap < 3600000 ? 1000 : gap < 86400000 ? 60000 : 3600000;
  f->m = (uint64_t)(gap > 0 ? gap / unit * unit : 0);
}

static void say_rate(const turn *x, const obs_engine_group *g, const finding *f, char *out, size_t size) {
  static const char *const than[] = {[CLEAR] = "less than", [BETWEEN] = "not less than", [HOLDS] = "more than"};
  const obs_rule *r = x->t->rule;
  char of[600], time[OBS_RULES_DURATION];
  const char *where_it_is = where(x, g, of, sizeof(of)), *within = obs_rules_duration(f->within_ms, time);
  if (f->n == 0)
    (void)snprintf(out, size, "no op%s within %s", where_it_is, within);
  else
    (void)snprintf(out, size, "%" PRIu64 " of %" PRIu64 " ops%s %s within %s: %.0f %%, %s %g %%", f->m, f->n,
                   where_it_is, r->bad, within, f->value * 100, than[f->verdict],
                   (f->verdict == HOLDS ? r->above : r->clear_below) * 100);
}

/* What was said is so no longer, where there are no words of what is instead. */
static void say_no_longer(char *out, size_t size) {
  static const char no_longer[] = "no longer: ";
  size_t head = sizeof(no_longer) - 1, n = strlen(out);
  if (strncmp(out, no_longer, head) == 0) return;
  if (n > size - head - 1) n = size - head - 1;
  memmove(out + head, out, n);
  memcpy(out, no_longer, head);
  out[head + n] = '\0';
}

/* What holds, or how it is instead, in words. */
static void say(const turn *x, const obs_engine_group *g, const finding *f, char *out, size_t size) {
  const obs_rule *r = x->t->rule;
  bool clear = f->verdict == CLEAR;
  char of[600], time[OBS_RULES_DURATION];
  switch (r->form) {
  case OBS_RULE_OP:
    (void)snprintf(out, size, "%" PRIu64 " ops%s within %s where %s", f->m, where(x, g, of, sizeof(of)),
                   obs_rules_duration(r->within_ms, time), r->bad);
    break;
  case OBS_RULE_RATE:
    say_rate(x, g, f, out, size);
    break;
  case OBS_RULE_ABSENCE:
    if (clear)
      (void)snprintf(out, size, "ops%s come again", where(x, g, of, sizeof(of)));
    else
      (void)snprintf(out, size, "no op%s has come for %s", where(x, g, of, sizeof(of)), obs_rules_duration(f->m, time));
    break;
  case OBS_RULE_CLUSTER:
    if (clear)
      say_no_longer(out, size);
    else
      (void)snprintf(out, size, "a kind of failure that is %s: %" PRIu64 " failures within %s%s%s: %s",
                     obs_cluster_state_names[f->state], f->m, obs_rules_duration(r->within_ms, time),
                     f->place != NULL ? " at " : "", f->place != NULL ? f->place : "", f->text);
    break;
  case OBS_RULE_SELF:
    if (clear)
      say_no_longer(out, size);
    else
      (void)snprintf(out, size, "%s", f->text);
    break;
  case OBS_RULE_FORMS:
    break;
  }
  mend(out);
}

/* ---- from state to state ---- */

static void leave(const turn *x, obs_engine_group *g, uint32_t slot) {
  obs_engine_runtime *t = x->t;
  for (uint32_t i = 0; i < t->active.n; i++) {
    if (t->active.at[i] != slot) continue;
    t->active.at[i] = t->active.at[--t->active.n];
    break;
  }
  x->e->active--;
  free(g->alert);
  g->alert = NULL;
}

/* How long it has to be clear: longer the more often it came back. */
static int64_t keep_ms(const obs_rule *r, const obs_engine_group *g) {
  int64_t keep = (int64_t)r->keep_ms, most = keep > OBS_ENGINE_FLAP_MS ? keep : OBS_ENGINE_FLAP_MS;
  if (g->flaps == 0) return keep;
  if (keep < 10000) keep = 10000;
  return keep << g->flaps < most ? keep << g->flaps : most;
}

static void tell(const turn *x, obs_engine_group *g) {
  if (x->event != NULL) x->event(x->arg, g->alert);
}

static void fire(const turn *x, obs_engine_group *g) {
  bool again = g->resolved_ms > 0 && x->now_ms - g->resolved_ms < OBS_ENGINE_FLAP_MS;
  g->flaps = !again ? 0 : g->flaps < OBS_ENGINE_FLAPS ? g->flaps + 1 : g->flaps;
  g->alert->state = OBS_ALERT_FIRING;
  g->alert->fired_ms = x->now_ms;
  x->t->fired++;
  x->t->last_fired_ms = x->now_ms;
  tell(x, g);
}

static void resolve(const turn *x, obs_engine_group *g, uint32_t slot) {
  g->alert->state = OBS_ALERT_RESOLVED;
  g->alert->resolved_ms = x->now_ms;
  g->resolved_ms = x->now_ms;
  tell(x, g);
  leave(x, g, slot);
}

static void set_seqs(const obs_engine_group *g, obs_alert *a) {
  a->nseqs = 0;
  for (uint32_t i = 0; i < OBS_ALERT_SEQS; i++) {
    uint64_t seq = g->seqs[(g->next_seq + OBS_ALERT_SEQS - 1 - i) % OBS_ALERT_SEQS];
    if (seq != 0) a->seqs[a->nseqs++] = seq;
  }
}

/* False: no room. */
static bool begin(const turn *x, obs_engine_group *g, uint32_t slot, const finding *f) {
  obs_engine *e = x->e;
  obs_alert *a = e->active < OBS_ENGINE_ACTIVE ? calloc(1, sizeof(*a)) : NULL;
  if (a == NULL) return false;
  const obs_rule *r = x->t->rule;
  a->number = ++e->number;
  (void)snprintf(a->rule, sizeof(a->rule), "%s", r->id);
  a->severity = r->severity;
  a->nlabels = obs_engine_labels(x->t, g, a->labels);
  a->fingerprint = obs_alert_fingerprint(a->rule, a->labels, a->nlabels);
  a->since_ms = f->since_ms != 0 ? f->since_ms : x->now_ms;
  g->alert = a;
  g->said = false;
  x->t->active.at[x->t->active.n++] = slot; /* add_group has made room */
  e->active++;
  return true;
}

/* The value and the words of now, also of one that recovers: who reads that it does wants to know how it is. The words
 * are made anew when they would be others: a thousand alerts are looked at each second. Those of kinds and of the
 * daemon itself, which are few, have texts of others in them. */
static void refresh(const turn *x, obs_engine_group *g, const finding *f) {
  obs_alert *a = g->alert;
  a->value = f->value;
  if (f->threshold != 0) a->threshold = f->threshold; /* 0: of a kind that is gone */
  set_seqs(g, a);
  if (g->said && f->text == NULL && g->said_verdict == f->verdict && g->said_n == f->n && g->said_m == f->m) return;
  g->said = true;
  g->said_verdict = f->verdict;
  g->said_n = f->n;
  g->said_m = f->m;
  say(x, g, f, a->text, sizeof(a->text));
}

static void step(const turn *x, obs_engine_group *g, uint32_t slot, const finding *f) {
  const obs_rule *r = x->t->rule;
  int64_t for_ms = r->form == OBS_RULE_ABSENCE ? 0 : (int64_t)r->for_ms; /* of an absence it is in what holds */
  verdict v = f->verdict == CLEAR && x->now_ms < x->t->warm_ms ? BETWEEN : f->verdict;
  if (g->alert == NULL && v == HOLDS && !begin(x, g, slot, f)) {
    x->e->held_back++;
    obs_engine_mark(x->t, g, slot); /* it is looked at again */
  }
  obs_alert *a = g->alert;
  if (a == NULL) return;
  refresh(x, g, f);
  switch (a->state) {
  case OBS_ALERT_PENDING:
    if (v != HOLDS)
      leave(x, g, slot);
    else if (x->now_ms - a->since_ms >= for_ms)
      fire(x, g);
    return;
  case OBS_ALERT_RECOVERING:
    if (v != CLEAR) {
      a->state = OBS_ALERT_FIRING;
      return;
    }
    break;
  case OBS_ALERT_FIRING:
    if (v != CLEAR) return;
    a->state = OBS_ALERT_RECOVERING;
    g->clear_ms = x->now_ms;
    break;
  case OBS_ALERT_RESOLVED: /* such a one has left */
  case OBS_ALERT_STATES:
    return;
  }
  if (x->now_ms - g->clear_ms >= keep_ms(r, g)) resolve(x, g, slot);
}

/* ---- clusters and the daemon itself: groups that no op makes ---- */

/* Whether the kind is new where the fleet has been at work for a while, and a noticeable share of what is done there.
 */
static bool stands_out(const turn *x, const obs_engine_cluster *c, finding *f) {
  const obs_rule *r = x->t->rule;
  f->value = (double)c->failures;
  f->threshold = (double)r->at_least;
  for (uint32_t i = 0; i < c->nplaces; i++) {
    const obs_engine_endpoint *p = obs_engine_endpoint_of(x->e, c->places[i].hash);
    uint64_t ops = 0;
    if (p == NULL || c->state_ms - p->active_ms < OBS_ENGINE_SETTLE_MS) continue;
    int64_t minute = x->now_ms / 60000;
    for (int64_t m = p->minute; m > p->minute - OBS_ENGINE_MINUTES && m >= 0; m--)
      if (minute - m < OBS_ENGINE_MINUTES) ops += p->n[m % OBS_ENGINE_MINUTES];
    uint64_t failures = c->places[i].failures < c->failures ? c->places[i].failures : c->failures;
    if (failures < r->at_least || (double)failures <= r->above * (double)ops) continue;
    f->place = c->places[i].name;
    return true;
  }
  return false;
}

static void find_cluster(const turn *x, const obs_engine_cluster *c, finding *f) {
  f->verdict = stands_out(x, c, f) && c->goes_on ? HOLDS : BETWEEN; /* what was a moment's is none */
  f->m = c->failures;
  f->state = c->state;
  f->text = c->template;
}

static void turn_clusters(turn *x, const obs_engine_look *look, uint32_t rule) {
  obs_engine_runtime *t = x->t;
  t->turn++;
  for (uint32_t i = 0; i < look->clusters.n; i++) {
    const obs_engine_cluster *c = &look->clusters.at[i];
    char id[OBS_HEX_LEN + 1];
    finding f = {0};
    if (c->rule != rule) continue;
    find_cluster(x, c, &f);
    obs_hex_format(c->id, id);
    const obs_str value = obs_str_of(id);
    uint64_t hash = obs_engine_hash(&value, 1);
    uint32_t slot = 0;
    if (f.verdict != HOLDS && !obs_map_get(&t->index, hash, &slot)) continue;
    if (slot == 0) slot = obs_engine_group_of(t, hash, &value);
    if (slot == 0) { /* there is no (other) kind */
      x->e->held_back++;
      continue;
    }
    obs_engine_group *g = &t->groups.at[slot];
    g->mark = t->turn;
    g->last_ms = x->now_ms;
    for (uint32_t k = 0; k < OBS_ALERT_SEQS; k++) g->seqs[OBS_ALERT_SEQS - 1 - k] = k < c->nseqs ? c->seqs[k] : 0;
    g->next_seq = 0;
    step(x, g, slot, &f);
    if (g->alert != NULL) g->alert->cluster = c->id;
  }
  for (uint32_t i = t->active.n; i-- > 0;) {
    uint32_t slot = t->active.at[i];
    const finding gone = {.verdict = CLEAR};
    if (t->groups.at[slot].mark != t->turn) step(x, &t->groups.at[slot], slot, &gone);
  }
}

static void turn_self(turn *x, const obs_engine_look *look) {
  obs_rule_check check = x->t->rule->check;
  const finding f = {.verdict = look->self.failing[check] ? HOLDS : CLEAR,
                     .value = look->self.failing[check],
                     .text = look->self.why[check]};
  step(x, &x->t->groups.at[0], 0, &f);
}

/* ---- groups that ops make ---- */

/* Durations of the time since the last fold become usual: when most of it was, or when it has been otherwise for so
 * long that this is how it is now. */
static void learn_usual(const turn *x, obs_engine_group *g, double share) {
  obs_engine_usual *u = g->usual;
  if (u->folded_ms == 0) u->folded_ms = x->now_ms;
  if (x->now_ms - u->folded_ms < OBS_ENGINE_FOLD_MS) return;
  bool is_so = g->alert != NULL && x->now_ms - g->alert->since_ms >= OBS_ENGINE_USUAL_MS;
  u->folded_ms = x->now_ms;
  if (g->ops == 0) return;
  uint64_t total = 0;
  for (uint32_t i = 0; i < OBS_ENGINE_SLOW_BUCKETS; i++) total += u->base[i];
  bool takes = share < x->t->rule->clear_below || u->slow_ms == 0 || is_so;
  for (uint32_t i = 0; i < OBS_ENGINE_SLOW_BUCKETS && takes; i++) {
    if (is_so)
      u->base[i] = 0; /* what was usual before is not any more */
    else if (total > 10000)
      u->base[i] -= u->base[i] / 64;
    u->base[i] += u->recent[i];
  }
  memset(u->recent, 0, sizeof(u->recent));
  if (x->now_ms - g->first_ms >= OBS_ENGINE_USUAL_MS) u->slow_ms = obs_engine_slow_ms(x->t->rule, u);
}

static void look_at(const turn *x, uint32_t slot) {
  obs_engine_group *g = &x->t->groups.at[slot];
  finding f = {0};
  if (x->t->rule->form == OBS_RULE_OP)
    find_op(x, g, &f);
  else if (x->t->rule->form == OBS_RULE_RATE)
    find_rate(x, g, &f);
  else
    find_absence(x, g, &f);
  step(x, g, slot, &f);
}

/* Once a minute: groups that nobody hears of any more make room, and durations are learned. */
static void sweep(const turn *x) {
  obs_engine_runtime *t = x->t;
  const obs_rule *r = t->rule;
  if (x->now_ms - t->swept_ms < 60000) return;
  t->swept_ms = x->now_ms;
  int64_t kept = r->learned || r->slower_times > 0 ? OBS_ENGINE_KEPT_MS : 2 * (int64_t)r->within_ms;
  if (kept < OBS_ENGINE_FLAP_MS) kept = OBS_ENGINE_FLAP_MS;
  for (uint32_t i = 0; i < t->groups.n; i++) {
    obs_engine_group *g = &t->groups.at[i];
    if (g->used && g->usual != NULL) {
      obs_engine_roll(t, g, x->now_ms);
      learn_usual(x, g, g->sum_n > 0 ? (double)g->sum_m / (double)g->sum_n : 0);
    }
    /* With `by`, the absence of a group that nothing is learned of is to be told: it stays. */
    if (i == 0 || !g->used || g->alert != NULL || (r->form == OBS_RULE_ABSENCE && !r->learned)) continue;
    if (x->now_ms - g->last_ms > kept) obs_engine_drop_group(t, i);
  }
}

void obs_engine_turn(obs_engine *e, uint32_t rule, const obs_engine_look *look, int64_t now_ms, obs_engine_event event,
                     void *arg) {
  turn x = {e, &e->at[rule], now_ms, event, arg};
  obs_engine_runtime *t = x.t;
  if (rule == 0) e->held_back = 0;
  switch (t->rule->form) {
  case OBS_RULE_CLUSTER:
    turn_clusters(&x, look, rule);
    break;
  case OBS_RULE_SELF:
    turn_self(&x, look);
    break;
  case OBS_RULE_ABSENCE:
    for (uint32_t i = 0; i < t->groups.n; i++) {
      bool counted =
          t->keys == UINT32_MAX || (i != 0 && t->groups.at[i].ops > 0); /* of (other) nothing can be absent */
      if (t->groups.at[i].used && counted) look_at(&x, i);
    }
    break;
  case OBS_RULE_OP:
  case OBS_RULE_RATE:
    for (uint32_t i = t->active.n; i-- > 0;)
      look_at(&x, t->active.at[i]); /* one that leaves has the last in its place */
    for (uint32_t n = t->dirty.n, i = t->dirty.n = 0; i < n; i++) {
      obs_engine_group *g = &t->groups.at[t->dirty.at[i]];
      g->dirty = false;
      if (g->used && g->alert == NULL) look_at(&x, t->dirty.at[i]);
    }
    break;
  case OBS_RULE_FORMS:
    break;
  }
  sweep(&x);
}

/* ---- clusters ---- */

enum { BRIEFS = 512 };

typedef struct {
  const obs_rule *rule;
  obs_engine_cluster *out;
} cluster_taker;

static void take_cluster(void *arg, const obs_cluster_view *v) {
  const cluster_taker *to = arg;
  obs_engine_cluster *c = to->out;
  obs_str text = obs_utf8_cut_str(v->template.p != NULL ? v->template : OBS_STR("(no text)"), sizeof(c->template) - 1);
  memcpy(c->template, text.p, text.len);
  c->template[text.len] = '\0';
  c->state_ms = v->state_ms;
  for (uint32_t i = 0; i < v->nplaces; i++) {
    obs_str name = obs_utf8_cut_str(v->places[i].endpoint, OBS_ALERT_VALUE_MAX);
    c->places[i].hash = obs_engine_hash(&v->places[i].endpoint, 1);
    c->places[i].failures = v->places[i].last_hour;
    memcpy(c->places[i].name, name.p, name.len);
    c->places[i].name[name.len] = '\0';
  }
  c->nplaces = v->nplaces;
  for (uint32_t i = v->nsamples; i-- > 0 && c->nseqs < OBS_ALERT_SEQS;) c->seqs[c->nseqs++] = v->samples[i];
}

bool obs_engine_look_at(const obs_rules *rules, obs_clusters *clusters, int64_t now_ms, obs_engine_look *out) {
  obs_cluster_brief *briefs = NULL;
  uint32_t n = 0;
  bool ok = true;
  out->clusters.n = 0;
  for (uint32_t r = 0; r < rules->n && clusters != NULL && ok; r++) {
    const obs_rule *rule = &rules->at[r];
    if (rule->form != OBS_RULE_CLUSTER) continue;
    if (briefs == NULL) {
      briefs = malloc(BRIEFS * sizeof(*briefs));
      if (briefs == NULL) return false;
      n = obs_clusters_briefs(clusters, now_ms, briefs, BRIEFS);
    }
    for (uint32_t i = 0; i < n && ok; i++) {
      if ((rule->states & 1u << briefs[i].state) == 0 || briefs[i].recent == 0) continue;
      uint64_t failures = obs_clusters_within(clusters, briefs[i].id, rule->within_ms, now_ms);
      obs_engine_cluster *c = failures > 0 ? OBS_VEC_PUSH(&out->clusters) : NULL;
      if (c == NULL) {
        ok = failures == 0;
        continue;
      }
      const cluster_taker to = {rule, c};
      c->rule = r;
      c->id = briefs[i].id;
      c->state = briefs[i].state;
      c->failures = failures;
      c->goes_on = obs_clusters_within(clusters, c->id, 60000, now_ms) > 0;
      if (failures >= rule->at_least) (void)obs_clusters_one(clusters, c->id, now_ms, take_cluster, (void *)&to);
    }
  }
  free(briefs);
  return ok;
}

void obs_engine_look_fini(obs_engine_look *look) {
  OBS_VEC_FINI(&look->clusters);
}

/* ---- over restarts and reloads ---- */

static void not_ahead(int64_t *ms, int64_t now_ms) {
  if (*ms > now_ms) *ms = now_ms;
}

/* What a clock has counted that was ahead and has been set back since: nothing was later than now, and no window has
 * begun. */
static void set_back(const obs_engine_runtime *t, obs_engine_group *g, int64_t now_ms) {
  not_ahead(&g->first_ms, now_ms);
  not_ahead(&g->last_ms, now_ms);
  not_ahead(&g->resumed_ms, now_ms);
  not_ahead(&g->resolved_ms, now_ms);
  if (g->alert != NULL) not_ahead(&g->alert->since_ms, now_ms);
  if (g->usual != NULL) not_ahead(&g->usual->folded_ms, now_ms);
  if (g->window == NULL || g->window->bucket <= now_ms / t->bucket_ms) return;
  *g->window = (obs_engine_window){.bucket = now_ms / t->bucket_ms};
  g->sum_n = g->sum_m = 0;
}

static void set_endpoint_back(obs_engine_endpoint *p, int64_t now_ms) {
  not_ahead(&p->last_ms, now_ms);
  not_ahead(&p->active_ms, now_ms);
  if (p->minute <= now_ms / 60000) return;
  memset(p->n, 0, sizeof(p->n));
  p->minute = now_ms / 60000;
}

void obs_engine_begin(obs_engine *e, int64_t now_ms, bool complete) {
  e->began_ms = now_ms;
  for (uint32_t i = 0; i < e->rules->n; i++) {
    obs_engine_runtime *t = &e->at[i];
    if (!complete || t->warm_ms == INT64_MAX) t->warm_ms = now_ms + (int64_t)t->rule->within_ms;
    for (uint32_t k = 0; k < t->groups.n; k++)
      if (t->groups.at[k].used) set_back(t, &t->groups.at[k], now_ms);
  }
  for (uint32_t i = 0; i < e->endpoints.n; i++) set_endpoint_back(&e->endpoints.at[i], now_ms);
}

static bool has_labels(const obs_rule *r, const obs_alert *a) {
  if (r->form == OBS_RULE_CLUSTER) return a->nlabels == 1 && strcmp(a->labels[0].name, "cluster") == 0;
  bool same = a->nlabels == r->nby;
  for (uint32_t i = 0; same && i < r->nby; i++) same = strcmp(a->labels[i].name, r->by[i].text) == 0;
  return same;
}

/* The group that a label's texts are of. 0 with `by`: (other). */
static uint32_t group_of_labels(obs_engine_runtime *t, const obs_alert *a) {
  obs_str values[OBS_RULES_BY] = {{0}};
  bool other = a->nlabels > 0;
  for (uint32_t i = 0; i < a->nlabels; i++) {
    values[i] = obs_str_of(a->labels[i].value);
    other = other && strcmp(a->labels[i].value, "(other)") == 0;
  }
  if (a->nlabels == 0 || other) return 0;
  return obs_engine_group_of(t, obs_engine_hash(values, a->nlabels), values);
}

bool obs_engine_adopt(obs_engine *e, const obs_alert *a) {
  for (uint32_t i = 0; i < e->rules->n; i++) {
    obs_engine_runtime *t = &e->at[i];
    if (strcmp(t->rule->id, a->rule) != 0 || !has_labels(t->rule, a)) continue;
    uint32_t slot = group_of_labels(t, a);
    obs_engine_group *g = &t->groups.at[slot];
    if (g->alert != NULL && g->alert->state != OBS_ALERT_PENDING) return true;
    const turn x = {.e = e, .t = t, .now_ms = a->since_ms};
    if (g->alert != NULL) leave(&x, g, slot);
    if (g->last_ms == 0) g->last_ms = a->fired_ms;
    obs_alert *own = e->active < OBS_ENGINE_ACTIVE ? malloc(sizeof(*own)) : NULL;
    if (own == NULL) return false;
    *own = *a;
    own->state = OBS_ALERT_FIRING;
    own->severity = t->rule->severity;
    if (e->began_ms > 0) {
      not_ahead(&own->since_ms, e->began_ms);
      not_ahead(&own->fired_ms, e->began_ms);
    }
    g->alert = own;
    g->said = false;
    t->active.at[t->active.n++] = slot;
    e->active++;
    obs_engine_number_from(e, a->number);
    obs_engine_rule now;
    obs_engine_get_rule(e, i, &now);
    const uint64_t fires = now.counts[OBS_ALERT_FIRING] + now.counts[OBS_ALERT_RECOVERING];
    if (t->fired < fires) t->fired = fires;
    if (t->last_fired_ms < a->fired_ms) t->last_fired_ms = a->fired_ms;
    return true;
  }
  return false;
}

/* The counts of the rule that is the same there. */
static obs_engine_runtime *same_rule(obs_engine *e, const obs_rule *r) {
  for (uint32_t i = 0; i < e->rules->n; i++)
    if (strcmp(e->at[i].rule->id, r->id) == 0) return e->at[i].rule->digest == r->digest ? &e->at[i] : NULL;
  return NULL;
}

void obs_engine_take(obs_engine *e, obs_engine *former, int64_t now_ms, obs_engine_event lost, void *arg) {
  e->began_ms = former->began_ms;
  obs_engine_number_from(e, former->number);
  for (uint32_t i = 0; i < e->rules->n; i++) {
    obs_engine_runtime *t = &e->at[i], *was = same_rule(former, t->rule), own = *t;
    if (was == NULL) {
      t->warm_ms = now_ms + (int64_t)t->rule->within_ms;
      continue;
    }
    *t = *was;
    *was = own; /* the former engine's close frees the empty one */
    t->rule = own.rule;
    t->keys = own.keys;
    was->rule = t->rule; /* it is asked for nothing but its memory */
    e->active += t->active.n;
    former->active -= t->active.n;
  }
  for (uint32_t i = 0; i < former->rules->n; i++) {
    obs_engine_runtime *t = &former->at[i];
    for (uint32_t k = 0; k < t->active.n; k++) {
      obs_alert *a = t->groups.at[t->active.at[k]].alert;
      if (a->state == OBS_ALERT_PENDING || obs_engine_adopt(e, a)) continue;
      a->state = OBS_ALERT_RESOLVED;
      a->resolved_ms = now_ms;
      if (lost != NULL) lost(arg, a);
    }
  }
  if (e->has_clusters && former->has_clusters) {
    obs_map index = e->endpoint_index;
    e->endpoint_index = former->endpoint_index;
    former->endpoint_index = index;
    e->endpoints.at = former->endpoints.at; /* its own is empty */
    e->endpoints.n = former->endpoints.n;
    e->endpoints.cap = former->endpoints.cap;
    former->endpoints.at = NULL;
    former->endpoints.n = former->endpoints.cap = 0;
  }
  obs_engine_close(former);
}
