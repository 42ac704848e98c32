/* Version 1 of the engine's bytes, all of pack.h: endpoints (id, last, active, minute, counts), the number of the last
 * alert, then rules: id of its text, digest, bytes of what follows, then fired, last fired, and its groups. A rule that
 * is another now is passed over whole. */
#include "alerts/engine_internal.h"

#include "base/pack.h"

#include <stdio.h>
#include <stdlib.h>

#define TIME_MAX OBS_CLUSTER_TIME_MAX

enum { HAS_WINDOW = 1, HAS_USUAL = 2, IS_PENDING = 4 };

/* ---- saving ---- */

static void save_counts(const uint32_t *n, uint32_t count, obs_buf *out) {
  for (uint32_t i = 0; i < count; i++) obs_pack_u64(out, n[i]);
}

static void save_group(const obs_engine_runtime *t, const obs_engine_group *g, obs_buf *out) {
  bool window = g->window != NULL && g->sum_n > 0;
  bool pending = g->alert != NULL && g->alert->state == OBS_ALERT_PENDING;
  const char *value = g->values;
  for (uint32_t i = 0; i < obs_engine_values(t->rule); i++) {
    obs_str text = obs_str_of(value != NULL ? value : "");
    obs_pack_str(out, text);
    if (value != NULL) value += text.len + 1;
  }
  obs_pack_id(out, g->hash);
  obs_pack_u64(out, (window ? HAS_WINDOW : 0) | (g->usual != NULL ? HAS_USUAL : 0) | (pending ? IS_PENDING : 0));
  obs_pack_u64(out, g->ops);
  obs_pack_i64(out, g->first_ms);
  obs_pack_i64(out, g->last_ms);
  obs_pack_i64(out, g->longest_ms);
  obs_pack_i64(out, g->resumed_ms);
  obs_pack_i64(out, g->resolved_ms);
  obs_pack_u64(out, g->flaps);
  for (uint32_t i = 0; i < OBS_ALERT_SEQS; i++) obs_pack_u64(out, g->seqs[(g->next_seq + i) % OBS_ALERT_SEQS]);
  if (window) {
    obs_pack_i64(out, g->window->bucket);
    save_counts(g->window->n, OBS_ENGINE_BUCKETS, out);
    save_counts(g->window->m, OBS_ENGINE_BUCKETS, out);
  }
  if (g->usual != NULL) {
    obs_pack_i64(out, g->usual->folded_ms);
    obs_pack_u64(out, g->usual->slow_ms);
    save_counts(g->usual->base, OBS_ENGINE_SLOW_BUCKETS, out);
    save_counts(g->usual->recent, OBS_ENGINE_SLOW_BUCKETS, out);
  }
  if (pending) obs_pack_i64(out, g->alert->since_ms);
}

static void save_rule(const obs_engine_runtime *t, obs_buf *out) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < t->groups.n; i++) n += t->groups.at[i].used;
  obs_pack_u64(out, t->fired);
  obs_pack_i64(out, t->last_fired_ms);
  obs_pack_u64(out, n);
  for (uint32_t i = 0; i < t->groups.n; i++)
    if (t->groups.at[i].used) save_group(t, &t->groups.at[i], out);
}

void obs_engine_save(obs_engine *e, obs_buf *out) {
  obs_buf rule = {0};
  obs_pack_u64(out, e->endpoints.n);
  for (uint32_t i = 0; i < e->endpoints.n; i++) {
    const obs_engine_endpoint *p = &e->endpoints.at[i];
    obs_pack_id(out, p->hash);
    obs_pack_i64(out, p->last_ms);
    obs_pack_i64(out, p->active_ms);
    obs_pack_i64(out, p->minute);
    save_counts(p->n, OBS_ENGINE_MINUTES, out);
  }
  obs_pack_u64(out, e->number);
  obs_pack_u64(out, e->rules->n);
  for (uint32_t i = 0; i < e->rules->n; i++) {
    obs_buf_reset(&rule, SIZE_MAX);
    save_rule(&e->at[i], &rule);
    obs_pack_str(out, obs_str_of(e->at[i].rule->id));
    obs_pack_id(out, e->at[i].rule->digest);
    obs_pack_u64(out, rule.len);
    obs_buf_append(out, rule.p, rule.len);
  }
  if (rule.oom) out->oom = true;
  obs_buf_fini(&rule);
}

/* ---- loading ---- */

static uint64_t load_counts(obs_pack_reader *in, uint32_t *n, uint32_t count) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < count; i++) sum += n[i] = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
  return sum;
}

static void load_pending(obs_engine *e, obs_engine_runtime *t, uint32_t slot, int64_t since_ms) {
  obs_engine_group *g = &t->groups.at[slot];
  obs_alert *a = e->active < OBS_ENGINE_ACTIVE ? calloc(1, sizeof(*a)) : NULL;
  if (a == NULL) return;
  a->number = ++e->number;
  (void)snprintf(a->rule, sizeof(a->rule), "%s", t->rule->id);
  a->severity = t->rule->severity;
  a->nlabels = obs_engine_labels(t, g, a->labels);
  a->fingerprint = obs_alert_fingerprint(a->rule, a->labels, a->nlabels);
  a->since_ms = since_ms;
  g->alert = a;
  t->active.at[t->active.n++] = slot;
  e->active++;
}

/* The first group is (other). */
static void load_group(obs_engine *e, obs_engine_runtime *t, obs_pack_reader *in, bool first) {
  obs_str values[OBS_RULES_BY] = {{0}};
  for (uint32_t i = 0; i < obs_engine_values(t->rule); i++) values[i] = obs_pack_read_str(in, OBS_ALERT_VALUE_MAX);
  uint64_t hash = obs_pack_read_id(in), has = obs_pack_read_u64(in, HAS_WINDOW | HAS_USUAL | IS_PENDING);
  uint32_t slot = first || in->bad ? 0 : obs_engine_group_of(t, hash, values);
  if (!first && slot == 0) in->bad = true;
  obs_engine_group *g = &t->groups.at[slot];
  g->ops = obs_pack_read_u64(in, UINT64_MAX);
  g->first_ms = obs_pack_read_i64(in, TIME_MAX);
  g->last_ms = obs_pack_read_i64(in, TIME_MAX);
  g->longest_ms = obs_pack_read_i64(in, TIME_MAX);
  g->resumed_ms = obs_pack_read_i64(in, TIME_MAX);
  g->resolved_ms = obs_pack_read_i64(in, TIME_MAX);
  g->flaps = (uint32_t)obs_pack_read_u64(in, OBS_ENGINE_FLAPS);
  for (uint32_t i = 0; i < OBS_ALERT_SEQS; i++) g->seqs[i] = obs_pack_read_u64(in, UINT64_MAX);
  if (((has & HAS_WINDOW) != 0 && g->window == NULL) || ((has & HAS_USUAL) != 0) != (g->usual != NULL)) in->bad = true;
  if (!in->bad && (has & HAS_WINDOW) != 0) {
    g->window->bucket = obs_pack_read_i64(in, TIME_MAX);
    if (g->window->bucket < 0) in->bad = true;
    g->sum_n = load_counts(in, g->window->n, OBS_ENGINE_BUCKETS);
    g->sum_m = load_counts(in, g->window->m, OBS_ENGINE_BUCKETS);
    obs_engine_mark(t, g, slot);
  }
  if (!in->bad && g->usual != NULL) {
    g->usual->folded_ms = obs_pack_read_i64(in, TIME_MAX);
    g->usual->slow_ms = obs_pack_read_u64(in, UINT64_MAX);
    (void)load_counts(in, g->usual->base, OBS_ENGINE_SLOW_BUCKETS);
    (void)load_counts(in, g->usual->recent, OBS_ENGINE_SLOW_BUCKETS);
  }
  if (!in->bad && (has & IS_PENDING) != 0) load_pending(e, t, slot, obs_pack_read_i64(in, TIME_MAX));
}

static void load_rule(obs_engine *e, obs_engine_runtime *t, obs_pack_reader *in) {
  t->fired = obs_pack_read_u64(in, UINT64_MAX);
  t->last_fired_ms = obs_pack_read_i64(in, TIME_MAX);
  uint64_t n = obs_pack_read_u64(in, OBS_ENGINE_GROUPS + 1);
  for (uint64_t i = 0; i < n && !in->bad; i++) load_group(e, t, in, i == 0);
}

static void load_endpoints(obs_engine *e, obs_pack_reader *in) {
  uint64_t n = obs_pack_read_u64(in, OBS_ENGINE_ENDPOINTS);
  for (uint64_t i = 0; i < n && !in->bad; i++) {
    obs_engine_endpoint p = {.hash = obs_pack_read_id(in)};
    p.last_ms = obs_pack_read_i64(in, TIME_MAX);
    p.active_ms = obs_pack_read_i64(in, TIME_MAX);
    p.minute = obs_pack_read_i64(in, TIME_MAX);
    (void)load_counts(in, p.n, OBS_ENGINE_MINUTES);
    if (in->bad || p.minute < 0 || !e->has_clusters) continue;
    obs_engine_endpoint *to = OBS_VEC_PUSH(&e->endpoints);
    if (to != NULL) *to = p;
    if (to == NULL || !obs_map_put(&e->endpoint_index, p.hash, e->endpoints.n - 1)) in->bad = true;
  }
}

observer_err obs_engine_load(obs_engine *e, const void *data, size_t len) {
  obs_pack_reader in = {data, (const uint8_t *)data + len, false};
  load_endpoints(e, &in);
  obs_engine_number_from(e, obs_pack_read_u64(&in, UINT64_MAX));
  uint64_t n = obs_pack_read_u64(&in, OBS_RULES_MAX);
  for (uint64_t i = 0; i < n && !in.bad; i++) {
    obs_str id = obs_pack_read_str(&in, OBS_RULES_ID_MAX);
    uint64_t digest = obs_pack_read_id(&in), bytes = obs_pack_read_u64(&in, UINT32_MAX);
    if (in.bad || bytes > (uint64_t)(in.end - in.p)) return OBSERVER_E_CORRUPT;
    obs_pack_reader part = {in.p, in.p + bytes, false};
    for (uint32_t k = 0; k < e->rules->n; k++) {
      obs_engine_runtime *t = &e->at[k];
      if (!obs_str_is(id, t->rule->id)) continue;
      if (t->rule->digest == digest)
        load_rule(e, t, &part);
      else
        t->warm_ms = INT64_MAX; /* obs_engine_begin says until when */
      if (part.bad) return OBSERVER_E_CORRUPT;
    }
    in.p += bytes;
  }
  return obs_pack_at_end(&in) ? OBSERVER_E_OK : OBSERVER_E_CORRUPT;
}
