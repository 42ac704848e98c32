#include "alerts/engine_internal.h"

#include "base/names.h"
#include "base/number.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

const char *const obs_alert_state_names[OBS_ALERT_STATES] = {
#define OBS_ALERT_STATE_NAME(name, text) [OBS_ALERT_##name] = (text),
    OBS_ALERT_STATE_MAP(OBS_ALERT_STATE_NAME)
#undef OBS_ALERT_STATE_NAME
};

/* Of a value that has to be copied for a group's key; longer ones are cut. */
enum { VALUE_MAX = 1024 };

/* What all groups beyond those that there is room for are called. */
#define OTHER "(other)"

_Static_assert((int)OBS_NAMES_SHOWN <= (int)OBS_ALERT_VALUE_MAX, "a shown name is a label");

/* ---- construction ---- */

static bool same_fields(const obs_rule *a, const obs_rule *b) {
  bool same = a->nby == b->nby;
  for (uint32_t i = 0; same && i < a->nby; i++) same = strcmp(a->by[i].text, b->by[i].text) == 0;
  return same;
}

/* Which list of fields makes its groups: rules with the same share its hash. */
static uint32_t keys_of(obs_engine *e, const obs_rule *r) {
  if (r->nby == 0) return UINT32_MAX;
  for (uint32_t i = 0; i < e->nkeys; i++)
    if (same_fields(e->keys[i], r)) return i;
  e->keys[e->nkeys] = r;
  return e->nkeys++;
}

static bool give_memory(const obs_rule *r, obs_engine_group *g) {
  if (r->form == OBS_RULE_OP || r->form == OBS_RULE_RATE) {
    g->window = calloc(1, sizeof(*g->window));
    if (g->window == NULL) return false;
  }
  if (r->slower_times > 0) g->usual = calloc(1, sizeof(*g->usual));
  return r->slower_times == 0 || g->usual != NULL;
}

static void free_group(obs_engine_group *g) {
  free(g->values);
  free(g->window);
  free(g->usual);
  free(g->alert);
  *g = (obs_engine_group){0};
}

/* A group in a slot of its own, with room for it in every list. NULL: no memory, nothing has changed. */
static obs_engine_group *add_group(obs_engine_runtime *t, uint32_t *slot) {
  uint32_t want = t->groups.n + 1;
  if (!OBS_VEC_RESERVE(&t->dirty, want) || !OBS_VEC_RESERVE(&t->active, want) || !OBS_VEC_RESERVE(&t->free, want))
    return NULL;
  if (t->rule->learned && !OBS_VEC_RESERVE(&t->resumed, want)) return NULL;
  if (t->free.n == 0 && OBS_VEC_PUSH(&t->groups) == NULL) return NULL;
  *slot = t->free.n > 0 ? t->free.at[--t->free.n] : t->groups.n - 1;
  obs_engine_group *g = &t->groups.at[*slot];
  bool dirty = g->dirty; /* it may still be in that list */
  *g = (obs_engine_group){.used = true, .dirty = dirty};
  if (give_memory(t->rule, g)) return g;
  free_group(g);
  g->dirty = dirty;
  t->free.at[t->free.n++] = *slot;
  return NULL;
}

obs_engine *obs_engine_open(const obs_rules *rules) {
  obs_engine *e = calloc(1, sizeof(*e));
  if (e == NULL) return NULL;
  e->rules = rules;
  e->at = calloc(rules->n + 1, sizeof(*e->at));
  if (e->at == NULL) goto fail;
  for (uint32_t i = 0; i < rules->n; i++) {
    obs_engine_runtime *t = &e->at[i];
    uint32_t slot;
    t->rule = &rules->at[i];
    t->bucket_ms = (int64_t)(t->rule->within_ms / OBS_ENGINE_BUCKETS);
    if (t->bucket_ms == 0) t->bucket_ms = 1;
    t->keys = keys_of(e, t->rule);
    e->has_clusters = e->has_clusters || t->rule->form == OBS_RULE_CLUSTER;
    if (t->rule->form != OBS_RULE_CLUSTER && t->rule->form != OBS_RULE_SELF)
      e->steps[e->nsteps++] = (obs_engine_step){obs_conditions_quick(&t->rule->when), &t->rule->when, t};
    obs_engine_group *other = add_group(t, &slot);
    if (other == NULL || !obs_map_init(&t->index, 16)) goto fail;
  }
  if (!obs_map_init(&e->endpoint_index, 16)) goto fail;
  return e;
fail:
  obs_engine_close(e);
  return NULL;
}

void obs_engine_close(obs_engine *e) {
  if (e == NULL) return;
  for (uint32_t i = 0; e->at != NULL && i < e->rules->n; i++) {
    obs_engine_runtime *t = &e->at[i];
    for (uint32_t k = 0; k < t->groups.n; k++) free_group(&t->groups.at[k]);
    OBS_VEC_FINI(&t->groups);
    OBS_VEC_FINI(&t->free);
    OBS_VEC_FINI(&t->dirty);
    OBS_VEC_FINI(&t->active);
    OBS_VEC_FINI(&t->resumed);
    obs_map_fini(&t->index);
  }
  free(e->at);
  OBS_VEC_FINI(&e->endpoints);
  obs_map_fini(&e->endpoint_index);
  obs_buf_fini(&e->room.text);
  obs_buf_fini(&e->value);
  free(e);
}

/* ---- groups ---- */

uint64_t obs_engine_hash(const obs_str *values, uint32_t n) {
  uint64_t h = OBS_ENGINE_SEED;
  for (uint32_t i = 0; i < n; i++) h = XXH3_64bits_withSeed(values[i].p != NULL ? values[i].p : "", values[i].len, h);
  return h;
}

/* A value as a group shows it. Numbers and others are written into the engine's buffer, which has room by now. */
static obs_str value_text(obs_engine *e, const obs_field *f, const obs_op *op, const obs_op_unknown *unknown) {
  obs_field_value v = obs_field_read(f, op, unknown, &e->room.text);
  char number[OBS_NUMBER_MAX];
  size_t from = e->value.len;
  switch (v.type) {
  case OBS_FIELD_MISSING:
  case OBS_FIELD_NULL:
    return OBS_STR("");
  case OBS_FIELD_BOOL:
    return v.b ? OBS_STR("true") : OBS_STR("false");
  case OBS_FIELD_NUMBER:
    obs_buf_append(&e->value, number, obs_number_format(v.n, number));
    break;
  case OBS_FIELD_TEXT:
  case OBS_FIELD_TREE:
    if (v.text.p != e->room.text.p) return v.text; /* the op's own */
    v.text = obs_utf8_cut_str(v.text, VALUE_MAX);
    obs_buf_append(&e->value, v.text.p, v.text.len);
    break;
  }
  return e->value.oom ? OBS_STR("") : (obs_str){e->value.p + from, (uint32_t)(e->value.len - from), 0};
}

/* The values of the fields that make the rule's groups. Views of the op, or of the engine's buffer. */
static void values_of(obs_engine *e, const obs_rule *r, const obs_op *op, const obs_op_unknown *unknown,
                      obs_str out[OBS_RULES_BY]) {
  obs_buf_reset(&e->value, SIZE_MAX);
  e->value.oom = false;
  /* So that it does not move while there are views of it. */
  if (!obs_buf_reserve(&e->value, (size_t)OBS_RULES_BY * VALUE_MAX)) return;
  for (uint32_t i = 0; i < r->nby; i++) out[i] = value_text(e, &r->by[i], op, unknown);
}

/* The values as labels show them: other values are other labels, so that no group is taken for another one, and a label
 * leads back to its group. One that is too long, ends before a NUL (labels are C strings) or is called like (other)
 * ends in its hash. True: at least one is not as it came. */
static bool show_values(uint32_t n, const obs_str *values, obs_str *out, char room[][OBS_NAMES_SHOWN + 1]) {
  bool changed = false;
  for (uint32_t i = 0; i < n; i++) {
    const char *nul = values[i].len > 0 ? memchr(values[i].p, '\0', values[i].len) : NULL;
    out[i] = obs_names_shown(values[i], room[i]);
    if (nul != NULL || obs_str_is(values[i], OTHER)) {
      const obs_str before = obs_str_slice(values[i], 0, nul != NULL ? (uint32_t)(nul - values[i].p) : values[i].len);
      const uint32_t len = (uint32_t)obs_utf8_cut(before.p, before.len, OBS_NAMES_SHOWN - 16);
      const uint64_t hash = XXH3_64bits(values[i].p, values[i].len);
      const int end = snprintf(room[i] + len, sizeof(room[i]) - len, "…%08" PRIx32, (uint32_t)hash);
      if (len > 0) memcpy(room[i], before.p, len);
      out[i] = (obs_str){room[i], len + (uint32_t)end, 0};
    }
    changed = changed || out[i].p != values[i].p;
  }
  return changed;
}

uint32_t obs_engine_group_of(obs_engine_runtime *t, uint64_t hash, const obs_str *values) {
  uint32_t slot = 0;
  obs_str shown[OBS_RULES_BY];
  char room[OBS_RULES_BY][OBS_NAMES_SHOWN + 1];
  const uint32_t n = obs_engine_values(t->rule);
  if (obs_map_get(&t->index, hash, &slot)) return slot;
  if (show_values(n, values, shown, room)) {
    hash = obs_engine_hash(shown, n);
    if (obs_map_get(&t->index, hash, &slot)) return slot;
  }
  if (t->index.n >= OBS_ENGINE_GROUPS) return 0;
  size_t bytes = 0;
  for (uint32_t i = 0; i < n; i++) bytes += shown[i].len + 1;
  char *texts = malloc(bytes > 0 ? bytes : 1);
  obs_engine_group *g = texts != NULL ? add_group(t, &slot) : NULL;
  if (g == NULL || !obs_map_put(&t->index, hash, slot)) {
    if (g != NULL) obs_engine_drop_group(t, slot);
    free(texts);
    return 0;
  }
  g->hash = hash;
  g->values = texts;
  for (uint32_t i = 0; i < n; i++) {
    if (shown[i].len > 0) memcpy(texts, shown[i].p, shown[i].len);
    texts[shown[i].len] = '\0';
    texts += shown[i].len + 1;
  }
  return slot;
}

void obs_engine_drop_group(obs_engine_runtime *t, uint32_t slot) {
  obs_engine_group *g = &t->groups.at[slot];
  bool dirty = g->dirty;
  obs_map_remove(&t->index, g->hash);
  free_group(g);
  g->dirty = dirty;
  t->free.at[t->free.n++] = slot;
  t->last_slot = 0;
}

uint32_t obs_engine_labels(const obs_engine_runtime *t, const obs_engine_group *g, obs_alert_label *out) {
  const char *value = g->values;
  if (t->rule->form == OBS_RULE_CLUSTER && value != NULL) {
    (void)snprintf(out->name, sizeof(out->name), "cluster");
    (void)snprintf(out->value, sizeof(out->value), "%s", value);
    return 1;
  }
  for (uint32_t i = 0; i < t->rule->nby; i++) {
    (void)snprintf(out[i].name, sizeof(out[i].name), "%.*s", OBS_RULES_ID_MAX, t->rule->by[i].text);
    (void)snprintf(out[i].value, sizeof(out[i].value), "%s", value != NULL ? value : OTHER);
    if (value != NULL) value += strlen(value) + 1;
  }
  return t->rule->nby;
}

/* ---- an op ---- */

void obs_engine_roll(const obs_engine_runtime *t, obs_engine_group *g, int64_t now_ms) {
  obs_engine_window *w = g->window;
  int64_t bucket = now_ms / t->bucket_ms;
  if (bucket <= w->bucket) return;
  if (bucket - w->bucket >= OBS_ENGINE_BUCKETS) {
    memset(w->n, 0, sizeof(w->n));
    memset(w->m, 0, sizeof(w->m));
    g->sum_n = g->sum_m = 0;
  } else {
    for (int64_t b = w->bucket + 1; b <= bucket; b++) {
      uint32_t i = (uint32_t)(b % OBS_ENGINE_BUCKETS);
      g->sum_n -= w->n[i];
      g->sum_m -= w->m[i];
      w->n[i] = w->m[i] = 0;
    }
  }
  w->bucket = bucket;
}

/* Four buckets an octave. */
static uint32_t slow_bucket(uint64_t ms) {
  if (ms < 4) return (uint32_t)ms;
  uint32_t high = 63 - (uint32_t)__builtin_clzll(ms), i = (high - 1) * 4 + (uint32_t)((ms >> (high - 2)) & 3);
  return i < OBS_ENGINE_SLOW_BUCKETS ? i : OBS_ENGINE_SLOW_BUCKETS - 1;
}

/* The least duration beyond a bucket. */
static uint64_t slow_bucket_end(uint32_t i) {
  if (i < 4) return i + 1;
  uint32_t high = i / 4 + 1;
  return (UINT64_C(4) + i % 4 + 1) << (high - 2);
}

uint64_t obs_engine_slow_ms(const obs_rule *r, const obs_engine_usual *u) {
  uint64_t total = 0, seen = 0;
  uint32_t i = 0;
  for (uint32_t k = 0; k < OBS_ENGINE_SLOW_BUCKETS; k++) total += u->base[k];
  if (total < OBS_ENGINE_USUAL_OPS) return 0;
  while (i + 1 < OBS_ENGINE_SLOW_BUCKETS && (seen += u->base[i]) * 10 < total * 9) i++;
  double usual = (double)slow_bucket_end(i), slow = usual * r->slower_times;
  return (uint64_t)(slow > usual + (double)r->slower_by_ms ? slow : usual + (double)r->slower_by_ms);
}

/* Of a rule about durations, only ops that succeeded and were measured count: what fails has a rule of its own. */
static bool is_counted(const obs_rule *r, const obs_op *op) {
  return r->slower_times == 0 ||
         (OBS_HAS(op, success) && op->success && OBS_HAS(op, duration_ms) && op->duration_ms > 0);
}

static bool is_bad(obs_engine *e, const obs_rule *r, obs_engine_group *g, const obs_op *op,
                   const obs_op_unknown *unknown) {
  if (r->slower_times == 0) return obs_conditions_hold(&r->of, op, unknown, &e->room);
  uint64_t ms = (uint64_t)op->duration_ms;
  g->usual->recent[slow_bucket(ms)]++;
  return g->usual->slow_ms > 0 && ms > g->usual->slow_ms;
}

static void note_seq(obs_engine_group *g, uint64_t seq) {
  g->seqs[g->next_seq] = seq;
  g->next_seq = (g->next_seq + 1) % OBS_ALERT_SEQS;
}

/* A pause is the group's own when the daemon was there all the time. A long one: ten of its usual. */
static void note_pause(const obs_engine *e, const obs_rule *r, obs_engine_group *g, int64_t now_ms) {
  if (g->last_ms == 0) return;
  int64_t pause = now_ms - g->last_ms, usual = (g->last_ms - g->first_ms) / (int64_t)g->ops;
  if (pause > (int64_t)r->for_ms && pause > 10 * usual) g->resumed_ms = now_ms;
  if (pause > g->longest_ms && (g->last_ms >= e->began_ms || e->began_ms == 0)) g->longest_ms = pause;
}

void obs_engine_mark(obs_engine_runtime *t, obs_engine_group *g, uint32_t slot) {
  if (g->dirty) return;
  g->dirty = true;
  t->dirty.at[t->dirty.n++] = slot; /* add_group has made room */
}

/* Most groups are made by one text of the table. */
static bool plain_value(const obs_rule *r, const obs_op *op, obs_str *out) {
  const obs_field *f = &r->by[0];
  if (r->nby != 1 || f->field >= OBS_F_COUNT || obs_op_fields[f->field].kind != OBS_KIND_TEXT) return false;
  *out = (op->present & OBS_BIT(f->field)) == 0 ? OBS_STR("")
                                                : *(const obs_str *)((const char *)op + obs_op_fields[f->field].offset);
  return true;
}

static uint32_t find_group(obs_engine *e, obs_engine_runtime *t, const obs_op *op, const obs_op_unknown *unknown) {
  if (t->keys == UINT32_MAX) return 0;
  obs_str values[OBS_RULES_BY] = {{0}};
  bool known = e->key_op[t->keys] == e->op;
  if (!known) {
    if (!plain_value(t->rule, op, values)) values_of(e, t->rule, op, unknown, values);
    e->key_hash[t->keys] = obs_engine_hash(values, t->rule->nby);
    e->key_op[t->keys] = e->op;
  }
  uint64_t hash = e->key_hash[t->keys];
  uint32_t slot = t->last_slot;
  if (slot != 0 && t->last_hash == hash) return slot;
  if (!obs_map_get(&t->index, hash, &slot)) {
    if (known) values_of(e, t->rule, op, unknown, values);
    slot = obs_engine_group_of(t, hash, values);
  }
  t->last_hash = hash;
  t->last_slot = slot;
  return slot;
}

static void count_in_window(obs_engine_runtime *t, obs_engine_group *g, int64_t now_ms, bool bad) {
  obs_engine_window *w = g->window;
  if (now_ms != t->at_ms) {
    t->at_ms = now_ms;
    t->at_bucket = now_ms / t->bucket_ms;
    t->at_index = (uint32_t)(t->at_bucket % OBS_ENGINE_BUCKETS);
  }
  if (w->bucket < t->at_bucket) obs_engine_roll(t, g, now_ms);
  uint32_t i = w->bucket == t->at_bucket ? t->at_index : (uint32_t)(w->bucket % OBS_ENGINE_BUCKETS);
  w->n[i]++;
  w->m[i] += bad;
  g->sum_n++;
  g->sum_m += bad;
}

static void count(obs_engine *e, obs_engine_runtime *t, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq) {
  const obs_rule *r = t->rule;
  if (!is_counted(r, op)) return;
  uint32_t slot = find_group(e, t, op, unknown);
  obs_engine_group *g = &t->groups.at[slot];
  int64_t now_ms = op->received_ms;
  bool bad = r->form == OBS_RULE_OP || (r->form == OBS_RULE_RATE && is_bad(e, r, g, op, unknown));
  if (g->ops++ == 0) g->first_ms = now_ms;
  if (g->window != NULL)
    count_in_window(t, g, now_ms, bad);
  else if (r->learned)
    note_pause(e, r, g, now_ms);
  if (bad || g->window == NULL) note_seq(g, seq);
  if (bad) obs_engine_mark(t, g, slot);
  g->last_ms = now_ms;
}

/* ---- endpoints, for rules on clusters ---- */

const obs_engine_endpoint *obs_engine_endpoint_of(const obs_engine *e, uint64_t hash) {
  uint32_t i;
  return obs_map_get(&e->endpoint_index, hash, &i) ? &e->endpoints.at[i] : NULL;
}

/* A new one; when there is no room, in the place of the one that was silent longest. */
static obs_engine_endpoint *add_endpoint(obs_engine *e, uint64_t hash) {
  uint32_t i = e->endpoints.n;
  if (i < OBS_ENGINE_ENDPOINTS) {
    if (OBS_VEC_PUSH(&e->endpoints) == NULL) return NULL;
  } else {
    i = 0;
    for (uint32_t k = 1; k < e->endpoints.n; k++)
      if (e->endpoints.at[k].last_ms < e->endpoints.at[i].last_ms) i = k;
    obs_map_remove(&e->endpoint_index, e->endpoints.at[i].hash);
  }
  e->endpoints.at[i] = (obs_engine_endpoint){.hash = hash};
  if (!obs_map_put(&e->endpoint_index, hash, i)) return NULL;
  return &e->endpoints.at[i];
}

static void note_endpoint(obs_engine *e, const obs_op *op) {
  uint64_t hash = obs_engine_hash(&op->endpoint, 1);
  uint32_t i;
  int64_t now_ms = op->received_ms, minute = now_ms / 60000;
  obs_engine_endpoint *p = obs_map_get(&e->endpoint_index, hash, &i) ? &e->endpoints.at[i] : add_endpoint(e, hash);
  if (p == NULL) return;
  if (p->active_ms == 0 || now_ms - p->last_ms > OBS_ENGINE_SETTLE_MS) p->active_ms = now_ms;
  if (minute - p->minute >= OBS_ENGINE_MINUTES) memset(p->n, 0, sizeof(p->n));
  for (int64_t m = p->minute + 1; m <= minute && minute - p->minute < OBS_ENGINE_MINUTES; m++)
    p->n[m % OBS_ENGINE_MINUTES] = 0;
  if (minute > p->minute) p->minute = minute;
  p->n[p->minute % OBS_ENGINE_MINUTES]++;
  p->last_ms = now_ms;
}

void obs_engine_op(obs_engine *e, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq) {
  if (op->late || op->received_ms == 0) return;
  e->op++;
  if (e->has_clusters) note_endpoint(e, op);
  for (const obs_engine_step *x = e->steps; x < e->steps + e->nsteps; x++) {
    if (obs_condition_quick_refuses(&x->first, op)) continue;
    uint64_t before = e->room.not_numbers;
    if (x->when->n == 0 || obs_conditions_hold(x->when, op, unknown, &e->room)) count(e, x->t, op, unknown, seq);
    if (e->room.not_numbers != before) x->t->not_numbers += e->room.not_numbers - before;
  }
}

/* ---- questions ---- */

uint64_t obs_alert_fingerprint(const char *rule, const obs_alert_label *labels, uint32_t nlabels) {
  uint64_t h = XXH3_64bits(rule, strlen(rule));
  for (uint32_t i = 0; i < nlabels; i++) {
    h = XXH3_64bits_withSeed(labels[i].name, strlen(labels[i].name), h);
    h = XXH3_64bits_withSeed(labels[i].value, strlen(labels[i].value), h);
  }
  return h != 0 ? h : 1;
}

uint32_t obs_engine_rules(const obs_engine *e) {
  return e->rules->n;
}

void obs_engine_get_rule(const obs_engine *e, uint32_t rule, obs_engine_rule *out) {
  const obs_engine_runtime *t = &e->at[rule];
  *out = (obs_engine_rule){
      .groups = t->index.n, .fired = t->fired, .not_numbers = t->not_numbers, .last_fired_ms = t->last_fired_ms};
  for (uint32_t i = 0; i < t->active.n; i++) out->counts[t->groups.at[t->active.at[i]].alert->state]++;
}

void obs_engine_each(const obs_engine *e, bool (*fn)(void *arg, const obs_alert *a), void *arg) {
  for (uint32_t i = 0; i < e->rules->n; i++) {
    const obs_engine_runtime *t = &e->at[i];
    for (uint32_t k = 0; k < t->active.n; k++)
      if (!fn(arg, t->groups.at[t->active.at[k]].alert)) return;
  }
}

uint64_t obs_engine_held_back(const obs_engine *e) {
  return e->held_back;
}

void obs_engine_number_from(obs_engine *e, uint64_t number) {
  if (e->number < number) e->number = number;
}
