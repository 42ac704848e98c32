#include "learn/exposure/exposure.h"

#include "base/map.h"
#include "base/pack.h"
#include "base/utf8.h"
#include "base/vec.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <xxhash.h>

/* NAME: bytes of a name, cut as the facts cut it. */
enum { HOUR_MS = 3600000, NAME = 128, TRIALS_MAX = 1 << 24 };

#define SEED_SESSION UINT64_C(0x2545f4914f6cdd1d)
#define SEED_ENDPOINT UINT64_C(0x9e3779b97f4a7c15)
#define SEED_CLASS UINT64_C(0xbf58476d1ce4e5b9)
#define SEED_HOLDOUT UINT64_C(0x94d049bb133111eb)

/* A session asked about an endpoint. */
typedef struct {
  uint64_t key;
  int64_t asked_ms;
  bool held;
} pair;

/* A scope that is counted. */
typedef struct {
  uint64_t id, key;
  uint32_t next; /* with the same key; NONE: the last */
  int64_t hour;  /* of `open`; 0: nothing is in it */
  obs_exposure_block open, closed;
} watched;

enum { NONE = UINT32_MAX };

typedef OBS_VEC(watched) watch_list;

struct obs_exposure {
  double holdout;
  uint64_t held_below; /* sessions whose hash is less are held back */
  pthread_mutex_t lock;
  bool lock_made;
  _Atomic int64_t last_asked_ms; /* 0: never; read without the lock */

  OBS_VEC(pair) pairs; /* a ring once it is full */
  uint32_t next_pair;
  obs_map by_key; /* their places */

  watch_list scopes; /* ids change on the learning thread alone */
  obs_map by_scope;  /* the first of each key */

  obs_map seen; /* trials of this hour */
  int64_t seen_hour;
};

/* ---- keys ---- */

static uint64_t hash_of(obs_str text, uint64_t seed) {
  return text.len > 0 ? XXH3_64bits_withSeed(text.p, text.len, seed) : 0;
}

static uint64_t mix(uint64_t a, uint64_t b) {
  const uint64_t both[] = {a, b};
  return XXH3_64bits(both, sizeof(both));
}

static uint64_t endpoint_hash(obs_str name) {
  return hash_of(obs_utf8_cut_str(name, NAME), SEED_ENDPOINT);
}

static uint64_t class_hash(obs_str name) {
  return hash_of(obs_utf8_cut_str(name, NAME), SEED_CLASS);
}

/* ---- open and close ---- */

observer_err obs_exposure_open(double holdout, obs_exposure **out) {
  obs_exposure *x = calloc(1, sizeof(*x));
  *out = NULL;
  if (x == NULL) return OBSERVER_E_NOMEM;
  x->holdout = holdout > 0 ? fmin(holdout, 1) : 0;
  /* 2^64 does not fit: a share of 1 is all but one hash. */
  x->held_below = x->holdout >= 1 ? UINT64_MAX : (uint64_t)(x->holdout * 0x1p64);
  x->lock_made = pthread_mutex_init(&x->lock, NULL) == 0;
  if (!x->lock_made) {
    obs_exposure_close(x);
    return OBSERVER_E_NOMEM;
  }
  *out = x;
  return OBSERVER_E_OK;
}

void obs_exposure_close(void *exposure) {
  obs_exposure *x = exposure;
  if (x == NULL) return;
  OBS_VEC_FINI(&x->pairs);
  OBS_VEC_FINI(&x->scopes);
  obs_map_fini(&x->by_key);
  obs_map_fini(&x->by_scope);
  obs_map_fini(&x->seen);
  if (x->lock_made) pthread_mutex_destroy(&x->lock);
  free(x);
}

double obs_exposure_holdout(const obs_exposure *x) {
  return x->holdout;
}

/* ---- questions ---- */

/* Without memory the question is forgotten: its session counts as one that did not ask. */
static void remember(obs_exposure *x, const pair *p) {
  uint32_t at;
  if (obs_map_get(&x->by_key, p->key, &at) && p->asked_ms - x->pairs.at[at].asked_ms < HOUR_MS) {
    x->pairs.at[at] = *p; /* a session that asks before each act must not push the others out */
    return;
  }
  if (x->pairs.n < OBS_EXPOSURE_PAIRS) {
    at = x->pairs.n;
    if (OBS_VEC_PUSH(&x->pairs) == NULL) return;
  } else {
    at = x->next_pair;
    x->next_pair = (x->next_pair + 1) % OBS_EXPOSURE_PAIRS;
    uint32_t place;
    if (obs_map_get(&x->by_key, x->pairs.at[at].key, &place) && place == at)
      obs_map_remove(&x->by_key, x->pairs.at[at].key);
  }
  x->pairs.at[at] = *p;
  (void)obs_map_put(&x->by_key, p->key, at);
}

bool obs_exposure_asked(obs_exposure *x, obs_str session, obs_str endpoint, int64_t now_ms) {
  if (session.p == NULL || session.len == 0) return false;
  uint64_t who = hash_of(session, SEED_SESSION);
  bool held = x->held_below > 0 && XXH3_64bits_withSeed(session.p, session.len, SEED_HOLDOUT) < x->held_below;
  const pair p = {mix(who, endpoint.p != NULL ? endpoint_hash(endpoint) : 0), now_ms, held};
  pthread_mutex_lock(&x->lock);
  remember(x, &p);
  pthread_mutex_unlock(&x->lock);
  atomic_store(&x->last_asked_ms, now_ms);
  return held;
}

static bool is_current(const obs_exposure *x, uint64_t key, int64_t now_ms, const pair **out) {
  uint32_t at;
  if (!obs_map_get(&x->by_key, key, &at)) return false;
  *out = &x->pairs.at[at];
  return now_ms - (*out)->asked_ms < OBS_EXPOSURE_LASTS_MS;
}

/* A question about any endpoint (mix with 0) is one about each. */
static obs_exposure_arm arm_of(const obs_exposure *x, uint64_t who, uint64_t endpoint, int64_t now_ms) {
  const pair *p;
  if (!is_current(x, mix(who, endpoint), now_ms, &p) && !is_current(x, mix(who, 0), now_ms, &p))
    return OBS_EXPOSURE_NONE;
  return p->held ? OBS_EXPOSURE_HELD : OBS_EXPOSURE_SERVED;
}

/* ---- trials ---- */

static void count(watched *w, int64_t hour, obs_exposure_arm arm, bool failed) {
  if (w->hour != hour) {
    if (w->hour != 0) w->closed = w->open; /* who does not take it for an hour loses the one before */
    w->open = (obs_exposure_block){0};
    w->hour = hour;
  }
  w->open.trials[arm]++;
  if (failed) w->open.failures[arm]++;
}

static void note(obs_exposure *x, const obs_op *op, int64_t now_ms) {
  int64_t hour = now_ms / HOUR_MS;
  uint64_t endpoint = endpoint_hash(op->endpoint);
  uint64_t class = OBS_HAS(op, task_class) ? class_hash(op->task_class) : 0;
  const uint64_t keys[] = {mix(endpoint, 0), mix(0, class), mix(endpoint, class)};
  uint64_t who = 0;
  if (x->seen_hour != hour) {
    obs_map_clear(&x->seen);
    x->seen_hour = hour;
  }
  for (int k = 0; k < (class != 0 ? 3 : 1); k++) {
    uint32_t at;
    if (!obs_map_get(&x->by_scope, keys[k], &at)) continue;
    if (who == 0) who = hash_of(op->session_id, SEED_SESSION);
    uint64_t trial = mix(who, keys[k]);
    if (x->seen.n >= OBS_EXPOSURE_SEEN || obs_map_get(&x->seen, trial, NULL) || !obs_map_put(&x->seen, trial, 0))
      continue;
    obs_exposure_arm arm = arm_of(x, who, endpoint, now_ms);
    for (; at != NONE; at = x->scopes.at[at].next) count(&x->scopes.at[at], hour, arm, !op->success);
  }
}

void obs_exposure_apply(void *exposure, obs_batch *b, uint64_t first_seq, int64_t now_ms) {
  obs_exposure *x = exposure;
  int64_t last = atomic_load(&x->last_asked_ms);
  (void)first_seq;
  if (last == 0 || now_ms - last >= OBS_EXPOSURE_LASTS_MS) return;
  pthread_mutex_lock(&x->lock);
  for (uint32_t i = 0; i < b->nops && x->scopes.n > 0; i++) {
    const obs_op *op = &b->ops[i];
    if (b->lines[i].duplicate || op->late || !OBS_HAS(op, session_id) || op->session_id.len == 0) continue;
    if (OBS_HAS(op, correction)) continue;
    note(x, op, now_ms);
  }
  pthread_mutex_unlock(&x->lock);
}

/* ---- scopes ---- */

/* 0: of nothing. */
static uint64_t key_of(const obs_exposure_scope *s) {
  uint64_t endpoint = s->endpoint.p != NULL ? endpoint_hash(s->endpoint) : 0;
  uint64_t class = s->task_class.p != NULL ? class_hash(s->task_class) : 0;
  return endpoint != 0 || class != 0 ? mix(endpoint, class) : 0;
}

/* Links what has the same key. False: no memory. */
static bool index_scopes(watch_list *list, obs_map *by_scope) {
  for (uint32_t i = 0; i < list->n; i++) {
    list->at[i].next = NONE;
    (void)obs_map_get(by_scope, list->at[i].key, &list->at[i].next);
    if (!obs_map_put(by_scope, list->at[i].key, i)) return false;
  }
  return true;
}

/* All but the copies of the blocks is made without the lock, which the commit thread waits for. */
observer_err obs_exposure_watch(obs_exposure *x, const obs_exposure_scope *scopes, uint32_t n) {
  watch_list list = {0};
  obs_map by_scope = {0}, former = {0};
  bool ok = true;
  for (uint32_t i = 0; i < x->scopes.n && ok; i++) ok = obs_map_put(&former, x->scopes.at[i].id, i);
  for (uint32_t i = 0; i < n && list.n < OBS_EXPOSURE_SCOPES && ok; i++) {
    uint64_t key = key_of(&scopes[i]);
    if (key == 0) continue;
    watched *w = OBS_VEC_PUSH(&list);
    ok = w != NULL;
    if (ok) *w = (watched){.id = scopes[i].id, .key = key};
  }
  ok = ok && index_scopes(&list, &by_scope);
  if (ok) {
    watch_list old = x->scopes;
    obs_map old_map = x->by_scope;
    pthread_mutex_lock(&x->lock);
    for (uint32_t i = 0, at = 0; i < list.n; i++) {
      if (!obs_map_get(&former, list.at[i].id, &at) || old.at[at].key != list.at[i].key) continue;
      const watched *w = &old.at[at];
      list.at[i].hour = w->hour;
      list.at[i].open = w->open;
      list.at[i].closed = w->closed;
    }
    x->scopes = list;
    x->by_scope = by_scope;
    pthread_mutex_unlock(&x->lock);
    list = old;
    by_scope = old_map;
  }
  OBS_VEC_FINI(&list);
  obs_map_fini(&by_scope);
  obs_map_fini(&former);
  return ok ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

static bool is_empty(const obs_exposure_block *b) {
  for (int k = 0; k < OBS_EXPOSURE_ARMS; k++)
    if (b->trials[k] > 0) return false;
  return true;
}

static bool is_full(const obs_exposure_block *b) {
  int full = 0;
  for (int k = 0; k < OBS_EXPOSURE_ARMS; k++) full += b->trials[k] >= OBS_EXPOSURE_FULL;
  return b->trials[OBS_EXPOSURE_SERVED] >= OBS_EXPOSURE_FULL && full >= 2;
}

bool obs_exposure_take(obs_exposure *x, uint64_t id, int64_t now_ms, obs_exposure_block *out) {
  uint32_t at = 0;
  while (at < x->scopes.n && x->scopes.at[at].id != id) at++;
  if (at == x->scopes.n) return false;
  watched *w = &x->scopes.at[at];
  pthread_mutex_lock(&x->lock);
  bool old = !is_empty(&w->closed);
  bool whole = w->hour != 0 && (w->hour != now_ms / HOUR_MS || is_full(&w->open));
  if (old) {
    *out = w->closed;
    w->closed = (obs_exposure_block){0};
  } else if (whole) {
    *out = w->open;
    w->open = (obs_exposure_block){0};
    w->hour = 0;
  }
  pthread_mutex_unlock(&x->lock);
  return old || whole;
}

/* ---- the checkpoint's part: the questions, then the scopes with their blocks ---- */

static void save_block(const obs_exposure_block *b, obs_buf *out) {
  for (int k = 0; k < OBS_EXPOSURE_ARMS; k++) {
    obs_pack_u64(out, b->trials[k]);
    obs_pack_u64(out, b->failures[k]);
  }
}

static obs_exposure_block load_block(obs_pack_reader *in) {
  obs_exposure_block b;
  for (int k = 0; k < OBS_EXPOSURE_ARMS; k++) {
    b.trials[k] = (uint32_t)obs_pack_read_u64(in, TRIALS_MAX);
    b.failures[k] = (uint32_t)obs_pack_read_u64(in, b.trials[k]);
  }
  return b;
}

observer_err obs_exposure_save(void *exposure, obs_buf *out) {
  obs_exposure *x = exposure;
  pthread_mutex_lock(&x->lock);
  obs_pack_u64(out, x->pairs.n);
  for (uint32_t i = 0; i < x->pairs.n; i++) { /* the one that is replaced next comes first */
    const pair *p = &x->pairs.at[(x->next_pair + i) % x->pairs.n];
    obs_pack_id(out, p->key);
    obs_pack_i64(out, p->asked_ms);
    obs_pack_u64(out, p->held);
  }
  obs_pack_u64(out, x->scopes.n);
  for (uint32_t i = 0; i < x->scopes.n; i++) {
    const watched *w = &x->scopes.at[i];
    obs_pack_id(out, w->id);
    obs_pack_id(out, w->key);
    obs_pack_i64(out, w->hour);
    save_block(&w->open, out);
    save_block(&w->closed, out);
  }
  pthread_mutex_unlock(&x->lock);
  return out->oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
}

static bool load_all(obs_exposure *x, obs_pack_reader *in) {
  int64_t last = 0;
  uint64_t n = obs_pack_read_u64(in, OBS_EXPOSURE_PAIRS);
  for (uint64_t i = 0; i < n && !in->bad; i++) {
    pair *p = OBS_VEC_PUSH(&x->pairs);
    if (p == NULL) return false;
    p->key = obs_pack_read_id(in);
    p->asked_ms = obs_pack_read_i64(in, INT64_C(1) << 53);
    p->held = obs_pack_read_u64(in, 1) == 1;
    if (p->asked_ms > last) last = p->asked_ms;
    if (!obs_map_put(&x->by_key, p->key, (uint32_t)i)) return false;
  }
  n = obs_pack_read_u64(in, OBS_EXPOSURE_SCOPES);
  for (uint64_t i = 0; i < n && !in->bad; i++) {
    watched *w = OBS_VEC_PUSH(&x->scopes);
    if (w == NULL) return false;
    w->id = obs_pack_read_id(in);
    w->key = obs_pack_read_id(in);
    w->hour = obs_pack_read_i64(in, INT64_C(1) << 53);
    w->open = load_block(in);
    w->closed = load_block(in);
  }
  atomic_store(&x->last_asked_ms, last);
  return obs_pack_at_end(in) && index_scopes(&x->scopes, &x->by_scope);
}

observer_err obs_exposure_load(void *exposure, const void *data, size_t len) {
  obs_exposure *x = exposure;
  obs_pack_reader in = {.p = data, .end = (const uint8_t *)data + len};
  if (load_all(x, &in)) return OBSERVER_E_OK;
  x->pairs.n = x->scopes.n = 0;
  obs_map_clear(&x->by_key);
  obs_map_clear(&x->by_scope);
  atomic_store(&x->last_asked_ms, 0);
  return OBSERVER_E_CORRUPT;
}
