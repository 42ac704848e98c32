/* What is asked of the table: pages of clusters, one cluster, counts. Any thread. */
#include "base/clock.h"
#include "cluster/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void obs_cluster_id_format(uint64_t id, char out[OBS_CLUSTER_ID_LEN + 1]) {
  (void)snprintf(out, OBS_CLUSTER_ID_LEN + 1, "%016" PRIx64, id);
}

bool obs_cluster_id_parse(obs_str text, uint64_t *id) {
  uint64_t v = 0;
  if (text.len != OBS_CLUSTER_ID_LEN) return false;
  for (uint32_t i = 0; i < text.len; i++) {
    static const char digits[] = "0123456789abcdef";
    const char *at = memchr(digits, text.p[i], sizeof(digits) - 1);
    if (at == NULL) return false;
    v = v << 4 | (uint64_t)(at - digits);
  }
  *id = v;
  return true;
}

/* ---- one cluster as JSON, with the lock ---- */

static void put_time(obs_buf *out, const char *name, bool known, int64_t ms) {
  char text[OBS_ISO8601_LEN + 1];
  obs_clock_format(ms, text);
  obs_buf_printf(out, known ? ",\"%s\":\"%s\"" : ",\"%s\":null", name, text);
}

static void put_text(obs_buf *out, const char *name, obs_cluster_text t) {
  obs_buf_printf(out, ",\"%s\":", name);
  if (t.p != NULL)
    obs_buf_json_str(out, obs_cluster_str(t));
  else
    obs_buf_puts(out, "null");
}

static void put_seqs(obs_buf *out, const uint64_t *list, uint32_t n, bool *any) {
  for (uint32_t i = 0; i < n; i++) {
    if (list[i] == 0) continue;
    obs_buf_printf(out, "%s%" PRIu64, *any ? "," : "", list[i]);
    *any = true;
  }
}

static void put_samples(obs_buf *out, const obs_cluster *x) {
  bool any = false;
  obs_buf_puts(out, ",\"samples\":[");
  put_seqs(out, x->first, OBS_CLUSTER_FIRST, &any);
  put_seqs(out, x->latest, OBS_CLUSTER_LATEST, &any);
  obs_buf_putc(out, ']');
}

static void put_sets(obs_buf *out, const obs_cluster *x) {
#define PUT_SET(field, name)                                                                                           \
  obs_buf_puts(out, ",\"" name "\":");                                                                                 \
  obs_top_set_json(&x->sets[OBS_CLUSTER_SET_##field], out);
  OBS_CLUSTER_SETS(PUT_SET)
#undef PUT_SET
}

static void put_members(obs_buf *out, const obs_cluster *x, int64_t now_ms) {
  obs_buf_printf(out, "\"id\":\"%016" PRIx64 "\",\"state\":\"%s\"", x->id, obs_cluster_state_names[x->state]);
  put_time(out, "state_since", true, x->state_ms);
  put_text(out, "template", x->template);
  put_text(out, "sig_hash", x->sig_hash);
  put_text(out, "event_kind", x->event_kind);
  obs_buf_printf(out, ",\"count\":%" PRIu64 ",\"last_minute\":%" PRIu64 ",\"last_hour\":%" PRIu64, x->count,
                 obs_rate_sum(&x->rate, OBS_RATE_MINUTE, now_ms), obs_rate_sum(&x->rate, OBS_RATE_HOUR, now_ms));
  put_time(out, "first_seen", true, x->first_ms);
  obs_buf_printf(out, ",\"first_seq\":%" PRIu64, x->first_seq);
  put_time(out, "last_seen", true, x->last_ms);
  obs_buf_printf(out, ",\"last_seq\":%" PRIu64, x->last_seq);
  put_sets(out, x);
  put_samples(out, x);
  obs_buf_printf(out, ",\"corrected\":%" PRIu64 ",\"regressions\":%" PRIu32, x->corrected, x->regressions);
  put_time(out, "regressed_at", x->regressions > 0, x->regressed_ms);
  put_time(out, "resolved_at", x->resolutions > 0, x->resolved_ms);
}

static void put_correction(obs_buf *out, const obs_correction *r) {
  obs_buf_printf(out, "{\"seq\":%" PRIu64, r->seq);
  put_time(out, "time", true, r->time_ms);
  obs_buf_puts(out, ",\"text\":");
  obs_buf_json_str(out, (obs_str){r->text, r->len, 0});
  obs_buf_printf(out, ",\"for\":\"%s\",\"next\":%s,\"succeeded\":%" PRIu32 ",\"failed\":%" PRIu32 "}",
                 r->by_class ? "task_class" : "sig_hash",
                 !r->came  ? "null"
                 : r->next ? "true"
                           : "false",
                 r->succeeded, r->failed);
}

static void put_corrections(const obs_clusters *c, obs_buf *out, const obs_cluster *x) {
  bool any = false;
  obs_buf_puts(out, ",\"corrections\":[");
  for (uint32_t i = 0; i < OBS_CORRECTIONS_EACH; i++) {
    const obs_correction *r = obs_corrections_get(&c->corrections, x->corrections[i]);
    if (r == NULL) continue;
    if (any) obs_buf_putc(out, ',');
    any = true;
    put_correction(out, r);
  }
  obs_buf_putc(out, ']');
}

static void put_former_ids(const obs_clusters *c, obs_buf *out, uint64_t id) {
  bool any = false;
  obs_buf_puts(out, ",\"former_ids\":[");
  for (uint64_t i = 0; i < c->naliases && i < OBS_CLUSTERS_ALIASES; i++) {
    if (c->aliases[i].to != id) continue;
    obs_buf_printf(out, "%s\"%016" PRIx64 "\"", any ? "," : "", c->aliases[i].from);
    any = true;
  }
  obs_buf_putc(out, ']');
}

bool obs_clusters_one_json(obs_clusters *c, uint64_t id, int64_t now_ms, obs_buf *out) {
  pthread_mutex_lock(&c->lock);
  uint32_t slot = obs_cluster_find(c, obs_cluster_resolve(c, id));
  if (slot != OBS_CLUSTER_NONE) {
    const obs_cluster *x = &c->all[slot];
    obs_buf_putc(out, '{');
    put_members(out, x, now_ms);
    put_corrections(c, out, x);
    put_former_ids(c, out, x->id);
    obs_buf_putc(out, '}');
  }
  pthread_mutex_unlock(&c->lock);
  return slot != OBS_CLUSTER_NONE;
}

/* ---- pages ---- */

typedef struct {
  uint64_t id, key, then; /* larger comes first; then by `then` */
} candidate;

static bool in_set(const obs_cluster *x, int set, obs_str want) {
  return want.p == NULL || obs_top_set_has(&x->sets[set], want);
}

static bool is_text(obs_cluster_text have, obs_str want) {
  return want.p == NULL || (have.p != NULL && obs_str_eq(obs_cluster_str(have), want));
}

static bool has_part(obs_cluster_text have, obs_str part) {
  return part.p == NULL || (have.p != NULL && memmem(have.p, have.len, part.p, part.len) != NULL);
}

static bool matches(const obs_cluster *x, const obs_clusters_filter *f) {
  return (f->state < 0 || (int)x->state == f->state) && x->last_ms >= f->since_ms &&
         is_text(x->sig_hash, f->sig_hash) && is_text(x->event_kind, f->event_kind) && has_part(x->template, f->q) &&
         in_set(x, OBS_CLUSTER_SET_endpoint, f->endpoint) && in_set(x, OBS_CLUSTER_SET_source, f->source) &&
         in_set(x, OBS_CLUSTER_SET_staffer_id, f->staffer_id) && in_set(x, OBS_CLUSTER_SET_task_class, f->task_class);
}

static candidate candidate_of(const obs_cluster *x, obs_clusters_order order, int64_t now_ms) {
  candidate k = {.id = x->id, .then = x->last_seq};
  switch (order) {
  case OBS_CLUSTERS_BY_LAST_SEEN:
    k.key = x->last_seq;
    break;
  case OBS_CLUSTERS_BY_FIRST_SEEN:
    k.key = x->first_seq;
    break;
  case OBS_CLUSTERS_BY_COUNT:
    k.key = x->count;
    break;
  case OBS_CLUSTERS_BY_RATE:
    k.key = obs_rate_sum(&x->rate, OBS_RATE_MINUTE, now_ms);
    k.then = obs_rate_sum(&x->rate, OBS_RATE_HOUR, now_ms);
    break;
  }
  return k;
}

static int by_key(const void *a, const void *b) {
  const candidate *x = a, *y = b;
  if (x->key != y->key) return x->key < y->key ? 1 : -1;
  if (x->then != y->then) return x->then < y->then ? 1 : -1;
  return (x->id > y->id) - (x->id < y->id);
}

static uint32_t collect(obs_clusters *c, const obs_clusters_filter *f, int64_t now_ms, candidate *list) {
  uint32_t n = 0;
  pthread_mutex_lock(&c->lock);
  for (uint32_t slot = c->newest; slot != OBS_CLUSTER_NONE; slot = c->all[slot].older) {
    if (matches(&c->all[slot], f)) list[n++] = candidate_of(&c->all[slot], f->order, now_ms);
  }
  pthread_mutex_unlock(&c->lock);
  return n;
}

/* One that went meanwhile is left out. */
static bool put_one(obs_clusters *c, uint64_t id, int64_t now_ms, bool first, obs_buf *out) {
  pthread_mutex_lock(&c->lock);
  uint32_t slot = obs_cluster_find(c, id);
  if (slot != OBS_CLUSTER_NONE) {
    obs_buf_puts(out, first ? "{" : ",{");
    put_members(out, &c->all[slot], now_ms);
    obs_buf_putc(out, '}');
  }
  pthread_mutex_unlock(&c->lock);
  return slot != OBS_CLUSTER_NONE;
}

observer_err obs_clusters_list_json(obs_clusters *c, const obs_clusters_filter *f, int64_t now_ms, obs_buf *out,
                                    uint32_t *total) {
  candidate *list = calloc(c->opts.clusters, sizeof(*list));
  if (list == NULL) return OBSERVER_E_NOMEM;
  uint32_t n = collect(c, f, now_ms, list);
  bool first = true;
  qsort(list, n, sizeof(*list), by_key);
  obs_buf_putc(out, '[');
  for (uint32_t i = 0; i < n && i < f->limit; i++) {
    if (put_one(c, list[i].id, now_ms, first, out)) first = false;
  }
  obs_buf_putc(out, ']');
  free(list);
  *total = n;
  return out->oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
}

/* ---- the rest ---- */

static obs_cluster_mark mark_of(const obs_cluster *x, int64_t now_ms) {
  return (obs_cluster_mark){.id = x->id,
                            .count = x->count,
                            .first_seq = x->first_seq,
                            .last_seq = x->last_seq,
                            .episode = x->regressions + 1,
                            .recent = (uint32_t)obs_rate_sum(&x->rate, OBS_RATE_HOUR, now_ms),
                            .state = x->state,
                            .first_ms = x->first_ms,
                            .last_ms = x->last_ms};
}

uint32_t obs_clusters_marks(obs_clusters *c, int64_t now_ms, obs_cluster_mark *out, uint32_t max) {
  uint32_t n = 0;
  pthread_mutex_lock(&c->lock);
  for (uint32_t slot = c->newest; slot != OBS_CLUSTER_NONE && n < max; slot = c->all[slot].older)
    out[n++] = mark_of(&c->all[slot], now_ms);
  pthread_mutex_unlock(&c->lock);
  return n;
}

uint64_t obs_clusters_within(obs_clusters *c, uint64_t id, uint64_t ms, int64_t now_ms) {
  pthread_mutex_lock(&c->lock);
  uint32_t slot = obs_cluster_find(c, obs_cluster_resolve(c, id));
  uint64_t n = slot != OBS_CLUSTER_NONE ? obs_rate_within(&c->all[slot].rate, ms, now_ms) : 0;
  pthread_mutex_unlock(&c->lock);
  return n;
}

const uint64_t *obs_clusters_applied(const obs_clusters *c) {
  return c->napplied > 0 ? c->applied : NULL;
}

uint64_t obs_clusters_now(obs_clusters *c, uint64_t id) {
  pthread_mutex_lock(&c->lock);
  uint64_t now = obs_cluster_resolve(c, id);
  pthread_mutex_unlock(&c->lock);
  return now;
}

uint64_t obs_clusters_of(obs_clusters *c, const obs_op *op) {
  if (op->success) return 0;
  if (OBS_HAS(op, sig_hash) && op->sig_hash.len > 0) return obs_cluster_sig_id(op->sig_hash);
  pthread_mutex_lock(&c->lock);
  uint32_t kind = obs_miner_peek(c->miner, obs_cluster_scope(op), obs_cluster_message(op));
  uint64_t id = kind != OBS_MINER_NONE ? obs_miner_id(c->miner, kind) : 0;
  pthread_mutex_unlock(&c->lock);
  return id;
}

void obs_clusters_get_counts(obs_clusters *c, obs_clusters_counts *out) {
  *out = (obs_clusters_counts){0};
  pthread_mutex_lock(&c->lock);
  out->held = c->held;
  out->failures = c->failures;
  out->forgotten = c->forgotten;
  out->merged = c->merged;
  out->lost = c->lost;
  memcpy(out->states, c->states, sizeof(out->states));
  pthread_mutex_unlock(&c->lock);
}
