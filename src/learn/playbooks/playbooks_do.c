/* A `do`: what the successes of an endpoint say, and when that is something new. */
#include "learn/playbooks/internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* NEWCOMER: successes with which a value that is not in an entry's list gets in, when there is room; else it must be
 * ahead of the last one: which of many equal ones come first is chance. */
enum { NEWCOMER = 3, SLACK_MS = 5, SENTENCE_ENDPOINT = 64, SENTENCE_PATTERN = 90, TOLD_UNITS = 200 };
/* What fewer of the successes have in common is no pattern to follow. */
#define PATTERN_SHARE 0.2

static double share_of(uint64_t part, uint64_t all) {
  return all > 0 ? (double)part / (double)all : 0;
}

/* More often, by more than four standard deviations of the difference: the largest of many is compared. */
static bool is_ahead(uint64_t count, uint64_t least) {
  double d = (double)count - (double)least;
  return d > 0 && d * d > 16 * ((double)count + (double)least);
}

/* How often a text came, as an entry has it: cut at `max` bytes. */
static uint64_t count_text(const obs_playbook_ring *r, const obs_playbook_tally *t, const char *want, uint32_t max) {
  char text[OBS_PLAYBOOK_TEXT + 1];
  for (uint32_t i = 0; i < t->n; i++) {
    obs_playbook_put(text, obs_playbook_ring_text(r, &t->list[i]), max);
    if (strcmp(text, want) == 0) return t->list[i].count;
  }
  return 0;
}

/* ---- values ---- */

static bool is_listed(const obs_playbook_values *list, const char *text) {
  for (uint32_t i = 0; i < list->n; i++)
    if (strcmp(list->v[i].text, text) == 0) return true;
  return false;
}

static void list_values(const obs_playbook_ring *r, const obs_playbook_tally *t, obs_playbook_values *out) {
  *out = (obs_playbook_values){0};
  for (uint32_t i = 0; i < t->n && out->n < OBS_PLAYBOOK_VALUES; i++) {
    obs_playbook_value *v = &out->v[out->n];
    obs_playbook_put(v->text, obs_playbook_ring_text(r, &t->list[i]), OBS_PLAYBOOK_NAME);
    v->count = t->list[i].count;
    if (!is_listed(out, v->text)) out->n++;
  }
}

static bool other_values(const obs_playbook_ring *r, const obs_playbook_tally *t, const obs_playbook_values *have) {
  obs_playbook_values now;
  list_values(r, t, &now);
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

/* ---- the pattern ---- */

/* The commonest one, but the one that the entry has as long as none is ahead of it. */
static const obs_playbook_tally_value *choose_pattern(const obs_playbook_ring *r, const obs_playbook_group *g,
                                                      const char *have) {
  const obs_playbook_tally *t = &g->patterns;
  char text[OBS_PLAYBOOK_TEXT + 1];
  for (uint32_t i = 0; i < t->n && !is_ahead(t->list[0].count, t->list[i].count); i++) {
    obs_playbook_put(text, obs_playbook_ring_text(r, &t->list[i]), OBS_PLAYBOOK_TEXT);
    if (strcmp(text, have) == 0) return &t->list[i];
  }
  return t->n > 0 ? &t->list[0] : NULL;
}

static void describe_pattern(const obs_playbook_ring *r, const obs_playbook_group *g, obs_playbook *e) {
  const obs_playbook_tally_value *v = choose_pattern(r, g, e->pattern);
  obs_playbook_put(e->pattern, v != NULL ? obs_playbook_ring_text(r, v) : (obs_str){"", 0, 1}, OBS_PLAYBOOK_TEXT);
  e->pattern_share = v != NULL ? share_of(v->count, g->n) : 0;
}

static bool other_pattern(const obs_playbook_ring *r, const obs_playbook_group *g, const char *have) {
  const obs_playbook_tally *t = &g->patterns;
  return t->n > 0 && is_ahead(t->list[0].count, count_text(r, t, have, OBS_PLAYBOOK_TEXT));
}

/* ---- durations ---- */

/* The nearest rank. */
static uint64_t quantile(const obs_playbook_group *g, uint32_t percent) {
  uint64_t rank = ((uint64_t)g->n * percent + 99) / 100;
  return g->ms[rank > 0 ? rank - 1 : 0];
}

static bool far(double now, double had) {
  return fabs(now - had) > SLACK_MS && fabs(now - had) > had / 4;
}

/* By more than chance does with so many. */
static bool other_mean(const obs_playbook_group *g, double had) {
  double mean = g->sum_ms / g->n, variance = fmax(0, g->squares_ms / g->n - mean * mean);
  return far(mean, had) && fabs(mean - had) > 2 * sqrt(variance / g->n);
}

static bool other_p95(const obs_playbook_group *g, uint64_t had) {
  uint32_t above = 0;
  while (above < g->n && g->ms[g->n - 1 - above] > had) above++;
  double expected = 0.05 * g->n, slack = 2 * sqrt(0.95 * expected);
  return far((double)quantile(g, 95), (double)had) && fabs(above - expected) > slack;
}

/* ---- an entry ---- */

/* As part of a sentence: what an op said does not end its quotation or the line. */
static void put_quoted(char *to, const char *text, uint32_t max) {
  obs_playbook_put(to, obs_str_of(text), max);
  for (char *p = to; *p != '\0'; p++) {
    if ((unsigned char)*p < ' ') *p = ' ';
    if (*p == '"') *p = '\'';
  }
}

/* One sentence to act on. */
static void put_sentence(obs_playbook *e) {
  char endpoint[SENTENCE_ENDPOINT + 1], pattern[SENTENCE_PATTERN + 1], text[512];
  put_quoted(endpoint, e->endpoint, SENTENCE_ENDPOINT);
  put_quoted(pattern, e->pattern, SENTENCE_PATTERN);
  if (pattern[0] != '\0' && e->pattern_share >= PATTERN_SHARE)
    (void)snprintf(text, sizeof(text),
                   "Call %s with input like \"%s\", as %.0f%% of %" PRIu64 " successes did; expect %" PRIu64
                   " ms, allow %" PRIu64 " ms.",
                   endpoint, pattern, 100 * e->pattern_share, e->successes, e->p50_ms, e->p95_ms);
  else
    (void)snprintf(text, sizeof(text),
                   "Calls of %s work: %" PRIu64 " successes; expect %" PRIu64 " ms, allow %" PRIu64 " ms.", endpoint,
                   e->successes, e->p50_ms, e->p95_ms);
  obs_playbook_put(e->text, obs_str_of(text), OBS_PLAYBOOK_TEXT);
}

static void describe_recent(const obs_playbook_group *g, obs_playbook *e) {
  e->nrecent = g->nrecent;
  for (uint32_t i = 0; i < g->nrecent; i++) {
    const obs_buf *b = &g->recent[g->nrecent - 1 - i];
    obs_playbook_put(e->recent[i], obs_buf_view(b), OBS_PLAYBOOK_SUMMARY);
  }
  e->nevidence = g->nevidence;
  for (uint32_t i = 0; i < g->nevidence; i++) e->evidence[i] = g->evidence[g->nevidence - 1 - i];
}

void obs_playbook_describe(const obs_playbook_ring *r, const obs_playbook_group *g, obs_playbook *e) {
  memcpy(e->endpoint, g->endpoint, sizeof(e->endpoint));
  describe_pattern(r, g, e);
  describe_recent(g, e);
  e->successes = g->n;
  e->avg_ms = g->sum_ms / g->n;
  e->p50_ms = quantile(g, 50);
  e->p95_ms = quantile(g, 95);
  list_values(r, &g->staffers, &e->staffers);
  list_values(r, &g->task_classes, &e->task_classes);
  put_sentence(e);
}

uint32_t obs_playbook_news(const obs_playbook_ring *r, const obs_playbook_group *g, const obs_playbook *e) {
  uint32_t fields = 0;
  if (other_pattern(r, g, e->pattern)) fields |= OBS_PLAYBOOK_BIT(pattern);
  if (other_values(r, &g->staffers, &e->staffers)) fields |= OBS_PLAYBOOK_BIT(staffers);
  if (other_values(r, &g->task_classes, &e->task_classes)) fields |= OBS_PLAYBOOK_BIT(task_classes);
  if (other_mean(g, e->avg_ms)) fields |= OBS_PLAYBOOK_BIT(avg_ms);
  if (other_p95(g, e->p95_ms)) fields |= OBS_PLAYBOOK_BIT(p95_ms);
  if (g->n >= 2 * e->successes) fields |= OBS_PLAYBOOK_BIT(successes);
  return fields;
}

/* ---- the gateway ---- */

/* The last summaries, oldest first. */
static void put_approach(const obs_playbook_group *g, obs_buf *out) {
  obs_buf joined = {0};
  for (uint32_t i = g->nrecent; i-- > 0;) {
    obs_buf_append(&joined, g->recent[i].p, g->recent[i].len);
    if (i > 0) obs_buf_puts(&joined, "; ");
  }
  obs_str told = obs_gateway_cut(obs_buf_view(&joined), TOLD_UNITS);
  obs_buf_puts(out, "common pattern: ");
  obs_buf_append(out, told.p, told.len);
  out->oom = out->oom || joined.oom;
  obs_buf_fini(&joined);
}

void obs_playbook_tell(obs_gateway *gateway, const obs_playbook_group *g) {
  obs_buf operation = {0}, approach = {0}, result = {0}, context = {0};
  double mean = g->sum_ms / g->n, whole = floor(mean);
  obs_buf_printf(&operation, "consolidated: %" PRIu32 " successful ", g->n);
  obs_buf_append(&operation, g->whole.p, g->whole.len);
  obs_buf_puts(&operation, " calls");
  put_approach(g, &approach);
  obs_buf_printf(&result, "avg_duration=%.0fms, %" PRIu32 " successes", mean - whole >= 0.5 ? whole + 1 : whole, g->n);
  obs_buf_puts(&context, "endpoint=");
  obs_buf_append(&context, g->whole.p, g->whole.len);
  if (!operation.oom && !approach.oom && !result.oom && !context.oom)
    obs_gateway_log(gateway, obs_buf_view(&operation), obs_buf_view(&approach), obs_buf_view(&result),
                    obs_buf_view(&context));
  obs_buf_fini(&operation);
  obs_buf_fini(&approach);
  obs_buf_fini(&result);
  obs_buf_fini(&context);
}
