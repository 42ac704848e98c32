/* The successes of each endpoint in the ring: gathered, written into its `do`, compared with it. */
#include "base/utf8.h"
#include "cluster/mask.h"
#include "learn/playbooks/internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

/* GROUPS: endpoints that are looked at; TALLY: different values of a kind that are counted, the latest ones. NEWCOMER:
 * successes with which a value that is not in an entry's list gets in while there is room; in a full list it must be
 * ahead of the last one, since which of many equal ones come first is chance. */
enum {
  GROUPS = 4096,
  TALLY = 256,
  LOGGED_UNITS = 200,
  NEWCOMER = 3,
  SLACK_MS = 5,
  SENTENCE_ENDPOINT = 64,
  SENTENCE_PATTERN = 90
};
/* A pattern that fewer of the successes share is none to follow. */
#define PATTERN_SHARE 0.2
/* Of so many failures on their inputs are compared with the successes'. */
enum { FAILURES = 3 };

/* ---- gathering ---- */

static void tally(obs_playbook_ring *r, obs_playbook_tally *t, obs_str value, uint32_t max) {
  uint64_t hash = XXH3_64bits(value.p, value.len);
  for (uint32_t i = 0; i < t->n; i++) {
    if (t->at[i].hash != hash) continue;
    t->at[i].count++;
    return;
  }
  if (t->n == TALLY) return;
  obs_playbook_tally_value *v = OBS_VEC_PUSH(t);
  if (v == NULL) {
    r->oom = true;
    return;
  }
  value = obs_utf8_cut_str(value, max);
  *v = (obs_playbook_tally_value){hash, 1, r->text.len, value.len};
  obs_buf_append(&r->text, value.p, value.len);
}

/* Nothing of a bot's default, which begins with the event_kind: that says how the op ended, not what was asked. */
static void put_pattern(const obs_op *op, obs_buf *out) {
  obs_mask_token tokens[OBS_MASK_TOKENS];
  if (OBS_HAS(op, source) && obs_str_is(op->source, "bot") && OBS_HAS(op, event_kind) && op->event_kind.len > 0 &&
      op->input_summary.len > op->event_kind.len &&
      memcmp(op->input_summary.p, op->event_kind.p, op->event_kind.len) == 0)
    return;
  obs_mask_template(tokens, obs_mask(obs_utf8_cut_str(op->input_summary, OBS_MASK_BYTES), tokens), out);
}

/* `pattern` 0: of any. */
static uint64_t failed_key(uint64_t endpoint, uint64_t pattern) {
  const uint64_t parts[] = {endpoint, pattern};
  return XXH3_64bits(parts, sizeof(parts));
}

static uint32_t failed(const obs_playbook_ring *r, uint64_t endpoint, uint64_t pattern) {
  uint32_t n = 0;
  (void)obs_map_get(&r->failed, failed_key(endpoint, pattern), &n);
  return n;
}

static bool add_failure(obs_playbook_ring *r, const obs_op *op, uint64_t endpoint) {
  obs_buf pattern = {0};
  put_pattern(op, &pattern);
  uint64_t hash = pattern.len > 0 ? XXH3_64bits(pattern.p, pattern.len) : 0;
  r->oom = r->oom || pattern.oom || !obs_map_put(&r->failed, failed_key(endpoint, 0), failed(r, endpoint, 0) + 1) ||
           (hash != 0 && !obs_map_put(&r->failed, failed_key(endpoint, hash), failed(r, endpoint, hash) + 1));
  obs_buf_fini(&pattern);
  return !r->oom;
}

/* What an overseer gave is no call that worked; it only counts among the successes in all, as with the older observer.
 */
static bool add(void *arg, uint64_t seq, const obs_op *op, obs_str line) {
  (void)line;
  obs_playbook_ring *r = arg;
  obs_buf pattern = {0};
  r->successes += op->success;
  if (op->endpoint.len == 0 || obs_op_is_correction(op)) return true;

  char name[OBS_PLAYBOOK_NAME + 1];
  uint32_t place;
  obs_playbook_put(name, op->endpoint, OBS_PLAYBOOK_NAME);
  uint64_t hash = XXH3_64bits(name, strlen(name));
  if (!op->success) return add_failure(r, op, hash);
  if (!obs_map_get(&r->by_endpoint, hash, &place)) {
    place = r->groups.n;
    if (place == GROUPS) return true;
    obs_playbook_group *fresh = OBS_VEC_PUSH(&r->groups);
    r->oom = fresh == NULL || !obs_map_put(&r->by_endpoint, hash, place);
    if (r->oom) return false;
    memcpy(fresh->endpoint, name, sizeof(name));
    obs_buf_append(&fresh->whole, op->endpoint.p, op->endpoint.len);
    r->oom = fresh->whole.oom;
  }
  obs_playbook_group *g = &r->groups.at[place];
  g->successes++;
  if (op->duration_ms > 0) { /* 0: nobody measured it */
    uint64_t *ms = OBS_VEC_PUSH(&g->ms);
    r->oom = r->oom || ms == NULL;
    if (r->oom) return false;
    *ms = (uint64_t)op->duration_ms;
    g->sum_ms += (double)op->duration_ms;
    g->squares_ms += (double)op->duration_ms * (double)op->duration_ms;
  }
  g->first_seq = seq;
  if (g->nevidence < OBS_PLAYBOOK_EVIDENCE) g->evidence[g->nevidence++] = seq;
  if (g->nrecent < OBS_PLAYBOOK_RECENT) {
    obs_buf *recent = &g->recent[g->nrecent++];
    obs_str cut = obs_gateway_cut(op->input_summary, LOGGED_UNITS);
    obs_buf_append(recent, cut.p, cut.len);
    r->oom = r->oom || recent->oom;
  }
  put_pattern(op, &pattern);
  if (pattern.len > 0) tally(r, &g->patterns, obs_buf_view(&pattern), OBS_PLAYBOOK_TEXT);
  r->oom = r->oom || pattern.oom;
  obs_buf_fini(&pattern);
  if (OBS_HAS(op, staffer_id) && op->staffer_id.len > 0) tally(r, &g->staffers, op->staffer_id, OBS_PLAYBOOK_NAME);
  if (OBS_HAS(op, task_class) && op->task_class.len > 0) tally(r, &g->task_classes, op->task_class, OBS_PLAYBOOK_NAME);
  return !r->oom;
}

static int by_value(const void *a, const void *b) {
  const uint64_t *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

/* Of two equal ones the one that came last stands first, here and in by_successes. */
static int by_count(const void *a, const void *b) {
  const obs_playbook_tally_value *x = a, *y = b;
  if (x->count != y->count) return x->count < y->count ? 1 : -1;
  return (x->at > y->at) - (x->at < y->at);
}

static void sort_tally(obs_playbook_tally *t) {
  if (t->n > 1) qsort(t->at, t->n, sizeof(*t->at), by_count);
}

static int by_successes(const void *a, const void *b) {
  const obs_playbook_group *x = a, *y = b;
  if (x->successes != y->successes) return x->successes < y->successes ? 1 : -1;
  return (x->first_seq > y->first_seq) - (x->first_seq < y->first_seq);
}

bool obs_playbook_ring_gather(const obs_evidence *evidence, obs_playbook_ring *out) {
  *out = (obs_playbook_ring){0};
  obs_evidence_recent(evidence, UINT32_MAX, add, out);
  for (uint32_t i = 0; i < out->groups.n; i++) {
    obs_playbook_group *g = &out->groups.at[i];
    if (g->ms.n > 1) qsort(g->ms.at, g->ms.n, sizeof(*g->ms.at), by_value);
    sort_tally(&g->patterns);
    sort_tally(&g->staffers);
    sort_tally(&g->task_classes);
  }
  obs_map_fini(&out->by_endpoint); /* the places change now */
  if (out->groups.n > 1) qsort(out->groups.at, out->groups.n, sizeof(*out->groups.at), by_successes);
  return !out->oom && !out->text.oom;
}

void obs_playbook_ring_fini(obs_playbook_ring *r) {
  for (uint32_t i = 0; i < r->groups.n; i++) {
    obs_playbook_group *g = &r->groups.at[i];
    for (uint32_t k = 0; k < OBS_PLAYBOOK_RECENT; k++) obs_buf_fini(&g->recent[k]);
    obs_buf_fini(&g->whole);
    OBS_VEC_FINI(&g->patterns);
    OBS_VEC_FINI(&g->staffers);
    OBS_VEC_FINI(&g->task_classes);
    OBS_VEC_FINI(&g->ms);
  }
  OBS_VEC_FINI(&r->groups);
  obs_map_fini(&r->by_endpoint);
  obs_map_fini(&r->failed);
  obs_buf_fini(&r->text);
  *r = (obs_playbook_ring){0};
}

/* ---- describing ---- */

/* More often, by more than four standard deviations of the difference: the largest of many is compared. */
static bool is_ahead(uint64_t count, uint64_t least) {
  double d = (double)count - (double)least;
  return d > 0 && d * d > 16 * ((double)count + (double)least);
}

static void put_value(const obs_playbook_ring *r, const obs_playbook_tally_value *v, char *to, uint32_t max) {
  obs_playbook_put(to, (obs_str){r->text.p + v->at, v->len, 0}, max);
}

/* How often a text came, as an entry has it: cut at `max` bytes. */
static uint64_t count_text(const obs_playbook_ring *r, const obs_playbook_tally *t, const char *want, uint32_t max) {
  char text[OBS_PLAYBOOK_TEXT + 1];
  for (uint32_t i = 0; i < t->n; i++) {
    put_value(r, &t->at[i], text, max);
    if (strcmp(text, want) == 0) return t->at[i].count;
  }
  return 0;
}

static bool is_listed(const obs_playbook_values *list, const char *text) {
  for (uint32_t i = 0; i < list->n; i++)
    if (strcmp(list->v[i].text, text) == 0) return true;
  return false;
}

static obs_playbook_values list_values(const obs_playbook_ring *r, const obs_playbook_tally *t) {
  obs_playbook_values out = {0};
  for (uint32_t i = 0; i < t->n && out.n < OBS_PLAYBOOK_VALUES; i++) {
    obs_playbook_value *v = &out.v[out.n];
    put_value(r, &t->at[i], v->text, OBS_PLAYBOOK_NAME);
    v->count = t->at[i].count;
    if (!is_listed(&out, v->text)) out.n++;
  }
  return out;
}

/* The commonest pattern, but the one that the entry has as long as none is ahead of it. */
static const obs_playbook_tally_value *choose_pattern(const obs_playbook_ring *r, const obs_playbook_group *g,
                                                      const char *have) {
  const obs_playbook_tally *t = &g->patterns;
  char text[OBS_PLAYBOOK_TEXT + 1];
  for (uint32_t i = 0; i < t->n && !is_ahead(t->at[0].count, t->at[i].count); i++) {
    put_value(r, &t->at[i], text, OBS_PLAYBOOK_TEXT);
    if (strcmp(text, have) == 0) return &t->at[i];
  }
  return t->n > 0 ? &t->at[0] : NULL;
}

/* Whether successes have the pattern rather than failures: else to call with such an input says nothing. An entry that
 * `said` so stops when failures have it half as often as successes, and begins when they have it a quarter as often, so
 * that chance does not edit it at each look. */
static bool distinguishes(const obs_playbook_ring *r, const obs_playbook_group *g,
                          const obs_playbook_tally_value *pattern, bool said) {
  uint64_t endpoint = XXH3_64bits(g->endpoint, strlen(g->endpoint));
  double all = failed(r, endpoint, 0), such = failed(r, endpoint, pattern->hash);
  double share = (double)pattern->count / (double)g->successes;
  return share >= PATTERN_SHARE && (all < FAILURES || such / all < share * (said ? 0.5 : 0.25));
}

static const char with_input[] = " with input like \"";

static bool says_input(const obs_playbook_view *e) {
  return strstr(e->text, with_input) != NULL;
}

/* 0: none was measured. */
static double mean_of(const obs_playbook_group *g) {
  return g->ms.n > 0 ? g->sum_ms / g->ms.n : 0;
}

/* The nearest rank of those that were measured; 0: none was. */
static uint64_t quantile(const obs_playbook_group *g, uint32_t percent) {
  if (g->ms.n == 0) return 0;
  uint64_t rank = ((uint64_t)g->ms.n * percent + 99) / 100;
  return g->ms.at[rank > 0 ? rank - 1 : 0];
}

/* As part of a sentence: the text of an op must not end its quotation or the line. */
static void put_quoted(char *to, const char *text, uint32_t max) {
  obs_playbook_put(to, obs_str_of(text), max);
  for (char *p = to; *p != '\0'; p++) {
    if ((unsigned char)*p < ' ') *p = ' ';
    if (*p == '"') *p = '\'';
  }
}

void obs_playbook_describe(const obs_playbook_ring *r, const obs_playbook_group *g, obs_playbook_view *e) {
  char endpoint[SENTENCE_ENDPOINT + 1], pattern[SENTENCE_PATTERN + 1], sentence[512];
  memcpy(e->endpoint, g->endpoint, sizeof(e->endpoint));
  const obs_playbook_tally_value *chosen = choose_pattern(r, g, e->pattern);
  bool tells = chosen != NULL && distinguishes(r, g, chosen, e->text[0] == '\0' || says_input(e));
  e->pattern[0] = '\0';
  if (chosen != NULL) put_value(r, chosen, e->pattern, OBS_PLAYBOOK_TEXT);
  e->pattern_share = chosen != NULL ? (double)chosen->count / (double)g->successes : 0;
  e->nrecent = g->nrecent;
  for (uint32_t i = 0; i < g->nrecent; i++)
    obs_playbook_put(e->recent[i], obs_buf_view(&g->recent[g->nrecent - 1 - i]), OBS_PLAYBOOK_SUMMARY);
  e->nevidence = g->nevidence;
  for (uint32_t i = 0; i < g->nevidence; i++) e->evidence[i] = g->evidence[g->nevidence - 1 - i];
  e->successes = g->successes;
  e->avg_ms = mean_of(g);
  e->p50_ms = quantile(g, 50);
  e->p95_ms = quantile(g, 95);
  e->staffers = list_values(r, &g->staffers);
  e->task_classes = list_values(r, &g->task_classes);

  put_quoted(endpoint, e->endpoint, SENTENCE_ENDPOINT);
  put_quoted(pattern, e->pattern, SENTENCE_PATTERN);
  char times[64] = ""; /* 0 ms: nobody said how long the calls took */
  if (e->p95_ms > 0)
    (void)snprintf(times, sizeof(times), "; expect %" PRIu64 " ms, allow %" PRIu64 " ms", e->p50_ms, e->p95_ms);
  if (tells && pattern[0] != '\0')
    (void)snprintf(sentence, sizeof(sentence), "Call %s%s%s\", as %.0f%% of %" PRIu64 " successes did%s.", endpoint,
                   with_input, pattern, 100 * e->pattern_share, e->successes, times);
  else
    (void)snprintf(sentence, sizeof(sentence), "Calls of %s work: %" PRIu64 " successes%s.", endpoint, e->successes,
                   times);
  obs_playbook_put(e->text, obs_str_of(sentence), OBS_PLAYBOOK_TEXT);
}

/* ---- what is new: changes that are larger than chance makes them ---- */

static bool has_other_values(const obs_playbook_ring *r, const obs_playbook_tally *t, const obs_playbook_values *have) {
  obs_playbook_values now = list_values(r, t);
  uint64_t least = UINT64_MAX;
  for (uint32_t i = 0; i < have->n; i++) {
    uint64_t count = count_text(r, t, have->v[i].text, OBS_PLAYBOOK_NAME);
    if (count < least) least = count;
  }
  for (uint32_t i = 0; i < now.n; i++) {
    uint64_t count = now.v[i].count;
    if (count < NEWCOMER || is_listed(have, now.v[i].text)) continue;
    if (have->n < OBS_PLAYBOOK_VALUES || is_ahead(count, least)) return true;
  }
  return false;
}

static bool is_far(double now, double had) {
  return fabs(now - had) > SLACK_MS && fabs(now - had) > had / 4;
}

uint32_t obs_playbook_news(const obs_playbook_ring *r, const obs_playbook_group *g, const obs_playbook_view *e) {
  const obs_playbook_tally *patterns = &g->patterns;
  uint32_t fields = 0, n = g->ms.n, above = 0;
  const obs_playbook_tally_value *chosen = choose_pattern(r, g, e->pattern);
  if (says_input(e) && (chosen == NULL || !distinguishes(r, g, chosen, true))) fields |= OBS_PLAYBOOK_BIT(text);
  if (patterns->n > 0 && is_ahead(patterns->at[0].count, count_text(r, patterns, e->pattern, OBS_PLAYBOOK_TEXT)))
    fields |= OBS_PLAYBOOK_BIT(pattern);
  if (has_other_values(r, &g->staffers, &e->staffers)) fields |= OBS_PLAYBOOK_BIT(staffers);
  if (has_other_values(r, &g->task_classes, &e->task_classes)) fields |= OBS_PLAYBOOK_BIT(task_classes);
  /* By more than two standard errors of the mean. */
  double mean = mean_of(g), variance = n > 0 ? fmax(0, g->squares_ms / n - mean * mean) : 0;
  if (n > 0 && is_far(mean, e->avg_ms) && fabs(mean - e->avg_ms) > 2 * sqrt(variance / n))
    fields |= OBS_PLAYBOOK_BIT(avg_ms);
  /* The durations above the p95 of before are binomial with p = 0.05 when nothing has changed. */
  while (above < n && g->ms.at[n - 1 - above] > e->p95_ms) above++;
  double expected = 0.05 * n, slack = 2 * sqrt(0.95 * expected);
  if (n > 0 && is_far((double)quantile(g, 95), (double)e->p95_ms) && fabs(above - expected) > slack)
    fields |= OBS_PLAYBOOK_BIT(p95_ms);
  if (g->successes >= 2 * e->successes) fields |= OBS_PLAYBOOK_BIT(successes);
  return fields;
}

/* ---- the gateway ---- */

void obs_playbook_log(obs_gateway *gateway, const obs_playbook_group *g) {
  obs_buf recent = {0}, operation = {0}, approach = {0}, result = {0}, context = {0};
  obs_buf *const all[] = {&recent, &operation, &approach, &result, &context};
  uint32_t n = g->successes;
  double mean = mean_of(g), whole = floor(mean);
  bool oom = false;
  obs_buf_printf(&operation, "consolidated: %" PRIu32 " successful ", n);
  obs_buf_append(&operation, g->whole.p, g->whole.len);
  obs_buf_puts(&operation, " calls");
  for (uint32_t i = g->nrecent; i-- > 0;) { /* oldest first */
    obs_buf_append(&recent, g->recent[i].p, g->recent[i].len);
    if (i > 0) obs_buf_puts(&recent, "; ");
  }
  obs_str cut = obs_gateway_cut(obs_buf_view(&recent), LOGGED_UNITS);
  obs_buf_puts(&approach, "common pattern: ");
  obs_buf_append(&approach, cut.p, cut.len);
  /* Half up, as toFixed(0) does. */
  obs_buf_printf(&result, "avg_duration=%.0fms, %" PRIu32 " successes", mean - whole >= 0.5 ? whole + 1 : whole, n);
  obs_buf_puts(&context, "endpoint=");
  obs_buf_append(&context, g->whole.p, g->whole.len);
  for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) oom = oom || all[i]->oom;
  if (!oom)
    obs_gateway_log(gateway, obs_buf_view(&operation), obs_buf_view(&approach), obs_buf_view(&result),
                    obs_buf_view(&context));
  for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) obs_buf_fini(all[i]);
}
