/* What the successes in the ring say, endpoint by endpoint. */
#include "base/utf8.h"
#include "cluster/mask.h"
#include "learn/playbooks/internal.h"

#include <stdlib.h>
#include <xxhash.h>

/* GROUPS: endpoints that are looked at, TALLY: different values of a kind that are counted, those that came last. */
enum { GROUPS = 4096, TALLY = 256, TOLD_UNITS = 200, PATTERN = OBS_PLAYBOOK_TEXT };

static bool grow(void **list, uint32_t n, uint32_t *cap, size_t size) {
  if (n < *cap) return true;
  uint32_t more = *cap > 0 ? 2 * *cap : 8;
  void *p = realloc(*list, more * size);
  if (p == NULL) return false;
  *list = p;
  *cap = more;
  return true;
}

/* ---- tallies ---- */

static void tally(obs_playbook_ring *r, obs_playbook_tally *t, obs_str value, uint32_t max) {
  uint64_t hash = XXH3_64bits(value.p, value.len);
  for (uint32_t i = 0; i < t->n; i++) {
    if (t->list[i].hash != hash) continue;
    t->list[i].count++;
    return;
  }
  if (t->n == TALLY) return;
  if (!grow((void **)&t->list, t->n, &t->cap, sizeof(*t->list))) {
    r->oom = true;
    return;
  }
  value.len = (uint32_t)obs_utf8_cut(value.p, value.len, max);
  t->list[t->n++] = (obs_playbook_tally_value){hash, 1, r->text.len, value.len};
  obs_buf_append(&r->text, value.p, value.len);
}

/* Ties: the one that came last stands first. */
static int by_count(const void *a, const void *b) {
  const obs_playbook_tally_value *x = a, *y = b;
  if (x->count != y->count) return x->count < y->count ? 1 : -1;
  return (x->at > y->at) - (x->at < y->at);
}

static void sort_tally(obs_playbook_tally *t) {
  if (t->n > 1) qsort(t->list, t->n, sizeof(*t->list), by_count);
}

static void tally_pattern(obs_playbook_ring *r, obs_playbook_group *g, obs_str summary) {
  obs_mask_token tokens[OBS_MASK_TOKENS];
  obs_buf pattern = {0};
  summary.len = (uint32_t)obs_utf8_cut(summary.p, summary.len, OBS_MASK_BYTES);
  obs_mask_template(tokens, obs_mask(summary, tokens), &pattern);
  if (pattern.len > 0) tally(r, &g->patterns, obs_buf_view(&pattern), PATTERN);
  r->oom = r->oom || pattern.oom;
  obs_buf_fini(&pattern);
}

/* ---- groups ---- */

/* NULL: there are too many, or no memory (r->oom). */
static obs_playbook_group *group_of(obs_playbook_ring *r, obs_str endpoint) {
  char name[OBS_PLAYBOOK_NAME + 1];
  obs_playbook_put(name, endpoint, OBS_PLAYBOOK_NAME);
  uint64_t hash = XXH3_64bits(name, strlen(name));
  for (uint32_t i = 0; i < r->n; i++)
    if (r->hashes[i] == hash) return &r->groups[i];
  if (r->n == GROUPS) return NULL;
  r->oom = r->oom || !grow((void **)&r->groups, r->n, &r->cap, sizeof(*r->groups)) ||
           !grow((void **)&r->hashes, r->n, &r->hashes_cap, sizeof(*r->hashes));
  if (r->oom) return NULL;
  r->hashes[r->n] = hash;
  obs_playbook_group *g = &r->groups[r->n++];
  *g = (obs_playbook_group){0};
  memcpy(g->endpoint, name, sizeof(name));
  obs_buf_append(&g->whole, endpoint.p, endpoint.len);
  r->oom = g->whole.oom;
  return g;
}

static void keep_recent(obs_playbook_ring *r, obs_playbook_group *g, const obs_op *op, uint64_t seq) {
  if (g->nevidence < OBS_PLAYBOOK_EVIDENCE) g->evidence[g->nevidence++] = seq;
  if (g->nrecent == OBS_PLAYBOOK_RECENT) return;
  obs_str told = obs_gateway_cut(op->input_summary, TOLD_UNITS);
  obs_buf_append(&g->recent[g->nrecent], told.p, told.len);
  r->oom = r->oom || g->recent[g->nrecent].oom;
  g->nrecent++;
}

static bool add(void *arg, uint64_t seq, const obs_op *op, obs_str line) {
  (void)line;
  obs_playbook_ring *r = arg;
  if (!op->success) return true;
  r->successes++;
  if (op->endpoint.len == 0) return true;
  obs_playbook_group *g = group_of(r, op->endpoint);
  if (g == NULL) return !r->oom;
  if (!grow((void **)&g->ms, g->n, &g->cap, sizeof(*g->ms))) {
    r->oom = true;
    return false;
  }
  g->ms[g->n++] = (uint64_t)op->duration_ms;
  g->sum_ms += (double)op->duration_ms;
  g->squares_ms += (double)op->duration_ms * (double)op->duration_ms;
  g->first_seq = seq;
  keep_recent(r, g, op, seq);
  tally_pattern(r, g, op->input_summary);
  if (OBS_HAS(op, staffer_id) && op->staffer_id.len > 0) tally(r, &g->staffers, op->staffer_id, OBS_PLAYBOOK_NAME);
  if (OBS_HAS(op, task_class) && op->task_class.len > 0) tally(r, &g->task_classes, op->task_class, OBS_PLAYBOOK_NAME);
  return !r->oom;
}

static int by_value(const void *a, const void *b) {
  const uint64_t *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

static int by_successes(const void *a, const void *b) {
  const obs_playbook_group *x = a, *y = b;
  if (x->n != y->n) return x->n < y->n ? 1 : -1;
  return (x->first_seq > y->first_seq) - (x->first_seq < y->first_seq);
}

bool obs_playbook_ring_gather(const obs_evidence *evidence, obs_playbook_ring *out) {
  *out = (obs_playbook_ring){0};
  obs_evidence_recent(evidence, UINT32_MAX, add, out);
  for (uint32_t i = 0; i < out->n; i++) {
    obs_playbook_group *g = &out->groups[i];
    if (g->n > 1) qsort(g->ms, g->n, sizeof(*g->ms), by_value);
    sort_tally(&g->patterns);
    sort_tally(&g->staffers);
    sort_tally(&g->task_classes);
  }
  free(out->hashes); /* of the groups' order till now */
  out->hashes = NULL;
  if (out->n > 1) qsort(out->groups, out->n, sizeof(*out->groups), by_successes);
  return !out->oom && !out->text.oom;
}

void obs_playbook_ring_fini(obs_playbook_ring *r) {
  for (uint32_t i = 0; i < r->n; i++) {
    obs_playbook_group *g = &r->groups[i];
    for (uint32_t k = 0; k < OBS_PLAYBOOK_RECENT; k++) obs_buf_fini(&g->recent[k]);
    obs_buf_fini(&g->whole);
    free(g->patterns.list);
    free(g->staffers.list);
    free(g->task_classes.list);
    free(g->ms);
  }
  free(r->groups);
  free(r->hashes);
  obs_buf_fini(&r->text);
  *r = (obs_playbook_ring){0};
}
