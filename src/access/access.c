#include "access/access.h"

#include "access/audit.h"
#include "access/key_file.h"
#include "access/peer.h"
#include "access/throttle.h"
#include "base/clock.h"
#include "base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { ERROR_MAX = 512, SETTLED_MS = 3000 };

/* A set of keys that identities hold. */
typedef struct {
  _Atomic uint64_t refs;
  uint64_t generation;
  obs_keys keys;
} key_set;

struct obs_access {
  char *path; /* NULL: open */
  obs_throttle *throttle;
  obs_audit *audit;
  _Atomic uint64_t generation, accepted, limited, denials[OBS_ACCESS_DENIALS], reloads, broken;
  _Atomic bool stale;

  pthread_mutex_t lock; /* of the pointer, brief */
  key_set *set;         /* NULL: open */

  /* Main's alone. */
  struct stat seen;                      /* of the file that was read last */
  bool settled;                          /* it had its size and time for a while: the same stat is the same text */
  uint8_t text_hash[OBS_KEY_HASH_BYTES]; /* of its text; 0: it was not good */
  char complaint[ERROR_MAX];             /* what is wrong with it; "": nothing */
};

/* ---- sets ---- */

static void release_set(key_set *s) {
  if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1) return;
  obs_keys_fini(&s->keys);
  free(s);
}

static key_set *hold_current(obs_access *a) {
  (void)pthread_mutex_lock(&a->lock);
  key_set *s = a->set;
  atomic_fetch_add(&s->refs, 1);
  (void)pthread_mutex_unlock(&a->lock);
  return s;
}

/* ---- identities ---- */

obs_identity obs_access_everything(void) {
  return (obs_identity){.scopes = OBS_SCOPE_OF_KEYS};
}

/* Takes the hold of the set over. */
static obs_identity identity_of(key_set *s, const obs_key *k) {
  return (obs_identity){.scopes = k->scopes, .key = k, .held = s};
}

static bool valid_now(const obs_key *k) {
  return obs_key_state_at(k, obs_clock_wall_ms()) == OBS_KEY_VALID;
}

obs_access_result obs_access_key(obs_access *a, obs_str text, const char *peer, obs_identity *out) {
  char network[OBS_PEER_NETWORK_MAX];
  obs_key_text parts;
  *out = (obs_identity){0};
  if (!obs_access_enabled(a)) {
    *out = obs_access_everything();
    return OBS_ACCESS_OK;
  }
  if (text.len == 0) return OBS_ACCESS_NONE;
  if (obs_key_text_parse(text, &parts)) {
    key_set *s = hold_current(a);
    const obs_key *k = obs_keys_match(&s->keys, &parts);
    if (k != NULL && valid_now(k)) {
      *out = identity_of(s, k);
      atomic_fetch_add(&a->accepted, 1);
      return OBS_ACCESS_OK;
    }
    release_set(s);
  }
  obs_peer_network(peer, network);
  if (!obs_throttle_failed(a->throttle, network, obs_clock_mono_ms())) return OBS_ACCESS_WRONG;
  atomic_fetch_add(&a->limited, 1);
  return OBS_ACCESS_LIMITED;
}

obs_access_result obs_access_listener(obs_access *a, const char *id, obs_identity *out) {
  *out = (obs_identity){0};
  if (!obs_access_enabled(a)) return OBS_ACCESS_WRONG;
  key_set *s = hold_current(a);
  const obs_key *k = obs_keys_find(&s->keys, id);
  if (k != NULL && valid_now(k)) {
    *out = identity_of(s, k);
    return OBS_ACCESS_OK;
  }
  release_set(s);
  return OBS_ACCESS_WRONG;
}

void obs_access_hold(obs_identity *i) {
  key_set *s = i->held;
  if (s != NULL) atomic_fetch_add(&s->refs, 1);
}

void obs_access_release(obs_identity *i) {
  release_set(i->held);
  *i = (obs_identity){0};
}

static bool same_sources(const obs_key *a, const obs_key *b) {
  if (a->nsources != b->nsources) return false;
  for (uint32_t i = 0; i < a->nsources; i++) {
    if (!obs_str_eq(a->sources[i], b->sources[i])) return false;
  }
  return true;
}

static bool same_rights(const obs_key *a, const obs_key *b) {
  return memcmp(a->hash, b->hash, sizeof a->hash) == 0 && a->scopes == b->scopes && same_sources(a, b);
}

bool obs_access_still(obs_access *a, obs_identity *i) {
  if (i->key == NULL) return true;
  if (((const key_set *)i->held)->generation != atomic_load(&a->generation)) {
    key_set *s = hold_current(a);
    const obs_key *k = obs_keys_find(&s->keys, i->key->id);
    if (k == NULL || !same_rights(k, i->key)) {
      release_set(s);
      return false;
    }
    release_set(i->held);
    *i = identity_of(s, k);
  }
  return valid_now(i->key);
}

uint64_t obs_access_generation(const obs_access *a) {
  return a != NULL ? atomic_load(&a->generation) : 0;
}

/* ---- the file ---- */

static bool same_file(const struct stat *a, const struct stat *b) {
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mode == b->st_mode &&
         a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
         a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static bool is_settled(const struct stat *st) {
  int64_t changed_ms = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
  return obs_clock_wall_ms() - changed_ms > SETTLED_MS;
}

static observer_err make_set(obs_str text, key_set **out, char *error, size_t size) {
  key_set *s = calloc(1, sizeof *s);
  if (s == NULL) {
    (void)snprintf(error, size, "no memory");
    return OBSERVER_E_NOMEM;
  }
  observer_err err = obs_keys_read(text, &s->keys, error, size);
  if (err != OBSERVER_E_OK) {
    obs_keys_fini(&s->keys);
    free(s);
    return err;
  }
  atomic_store(&s->refs, 1);
  *out = s;
  return OBSERVER_E_OK;
}

/* Reads the file. *out NULL and OK: its text is the one that was read last. What went wrong is tried again at the next
 * look, since the reason may have been this process's: no memory, no descriptors. */
static observer_err read_set(obs_access *a, key_set **out, char *error, size_t size) {
  obs_buf text = {0};
  struct stat st = {0};
  char why[ERROR_MAX] = "no memory";
  uint8_t hash[OBS_KEY_HASH_BYTES] = {0};
  *out = NULL;
  observer_err err = obs_key_file_read(a->path, &text, &st, error, size);
  if (err == OBSERVER_E_OK) {
    if (!obs_key_text_hash(obs_buf_view(&text), hash))
      err = OBSERVER_E_NOMEM;
    else if (memcmp(hash, a->text_hash, sizeof hash) != 0)
      err = make_set(obs_buf_view(&text), out, why, sizeof why);
    if (err != OBSERVER_E_OK) (void)snprintf(error, size, "keys: %s: %s", a->path, why);
  }
  if (err != OBSERVER_E_OK) memset(hash, 0, sizeof hash); /* the same text as before is news after a fault */
  memcpy(a->text_hash, hash, sizeof hash);
  a->seen = st;
  a->settled = err == OBSERVER_E_OK && is_settled(&st);
  obs_buf_fini(&text);
  return err;
}

/* What of a key changed, for a person: "scopes, expires". */
static void put_changes(obs_buf *out, const obs_key *was, const obs_key *now) {
  const struct {
    const char *what;
    bool changed;
  } members[] = {{obs_key_members[OBS_KEY_MEMBER_NAME], !obs_str_eq(was->name, now->name)},
                 {obs_key_members[OBS_KEY_MEMBER_SCOPES], was->scopes != now->scopes},
                 {obs_key_members[OBS_KEY_MEMBER_SOURCES], !same_sources(was, now)},
                 {"secret", memcmp(was->hash, now->hash, sizeof was->hash) != 0},
                 {obs_key_members[OBS_KEY_MEMBER_EXPIRES], was->expires_ms != now->expires_ms},
                 {obs_key_members[OBS_KEY_MEMBER_REVOKED],
                  was->revoked_ms != now->revoked_ms && now->revoked_ms == OBS_KEY_NEVER}};
  const char *before = "";
  for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
    if (!members[i].changed) continue;
    obs_buf_puts(out, before);
    obs_buf_puts(out, members[i].what);
    before = ", ";
  }
}

/* A row for each key that one set has and the other has not, or has differently. */
static void audit_changes(obs_access *a, const obs_keys *was, const obs_keys *now) {
  obs_buf rows = {0}, detail = {0};
  for (uint32_t i = 0; i < now->n; i++) {
    const obs_key *k = &now->at[i], *old = obs_keys_find(was, k->id);
    const char *what = "key_changed";
    obs_buf_reset(&detail, SIZE_MAX);
    if (old == NULL) {
      what = "key_added";
      obs_scope_put(&detail, k->scopes, ", ");
    } else if (old->revoked_ms == OBS_KEY_NEVER && k->revoked_ms != OBS_KEY_NEVER) {
      what = "key_revoked";
    } else {
      put_changes(&detail, old, k);
      if (detail.len == 0) continue;
    }
    obs_buf_putc(&detail, '\0');
    if (!detail.oom) obs_audit_put(&rows, what, k->id, detail.p[0] != '\0' ? detail.p : NULL);
  }
  for (uint32_t i = 0; i < was->n; i++) {
    if (obs_keys_find(now, was->at[i].id) == NULL) obs_audit_put(&rows, "key_removed", was->at[i].id, NULL);
  }
  rows.oom = rows.oom || detail.oom;
  if (rows.len > 0 || rows.oom) obs_audit_write(a->audit, &rows);
  obs_buf_fini(&rows);
  obs_buf_fini(&detail);
}

/* The new set takes the place of the old one, which stays as long as somebody holds it. */
static void use_set(obs_access *a, key_set *s) {
  (void)pthread_mutex_lock(&a->lock);
  key_set *old = a->set;
  s->generation = atomic_load(&a->generation) + 1;
  a->set = s;
  atomic_store(&a->generation, s->generation);
  (void)pthread_mutex_unlock(&a->lock);
  if (old != NULL) {
    atomic_fetch_add(&a->reloads, 1);
    obs_log_info("access", "keys: %s: read again, %u %s", a->path, s->keys.n, s->keys.n == 1 ? "key" : "keys");
    audit_changes(a, &old->keys, &s->keys);
  }
  release_set(old);
}

static void complain(obs_access *a, const char *error) {
  if (strcmp(error, a->complaint) == 0) return;
  (void)snprintf(a->complaint, sizeof a->complaint, "%s", error);
  atomic_fetch_add(&a->broken, 1);
  atomic_store(&a->stale, true);
  obs_log_error("access", "%s; the keys that were read last hold", error);
  obs_access_audit(a, "keys_broken", NULL, error);
}

static void reload(obs_access *a, bool force) {
  char error[ERROR_MAX] = "";
  struct stat st;
  key_set *s;
  if (!force && a->settled && stat(a->path, &st) == 0 && same_file(&st, &a->seen)) return;
  if (read_set(a, &s, error, sizeof error) != OBSERVER_E_OK) {
    complain(a, error);
  } else if (s != NULL) {
    a->complaint[0] = '\0';
    atomic_store(&a->stale, false);
    use_set(a, s);
  }
}

/* ---- the object ---- */

observer_err obs_access_open(const obs_access_opts *opts, obs_access **out, char *error, size_t size) {
  observer_err err = OBSERVER_E_NOMEM;
  key_set *s = NULL;
  *out = NULL;
  obs_access *a = calloc(1, sizeof *a);
  if (a == NULL || pthread_mutex_init(&a->lock, NULL) != 0) {
    free(a);
    (void)snprintf(error, size, "keys: no memory");
    return err;
  }
  a->throttle = obs_throttle_open();
  a->audit = obs_audit_open(opts->audit_path);
  a->path = opts->path != NULL ? strdup(opts->path) : NULL;
  if (a->throttle == NULL || a->audit == NULL || (opts->path != NULL && a->path == NULL)) {
    (void)snprintf(error, size, "keys: no memory");
  } else {
    err = a->path != NULL ? read_set(a, &s, error, size) : OBSERVER_E_OK;
  }
  if (err != OBSERVER_E_OK) {
    obs_access_close(a);
    return err;
  }
  if (s != NULL) use_set(a, s);
  *out = a;
  return OBSERVER_E_OK;
}

void obs_access_close(obs_access *a) {
  if (a == NULL) return;
  obs_audit_close(a->audit);
  obs_throttle_close(a->throttle);
  release_set(a->set);
  (void)pthread_mutex_destroy(&a->lock);
  free(a->path);
  free(a);
}

bool obs_access_enabled(const obs_access *a) {
  return a != NULL && a->path != NULL;
}

const char *const obs_access_denial_names[OBS_ACCESS_DENIALS] = {
#define DENIAL_NAME(name, text) text,
    OBS_ACCESS_DENIAL_MAP(DENIAL_NAME)
#undef DENIAL_NAME
};

void obs_access_denied(obs_access *a, const char *peer, const char *key_id, const char *what, unsigned status,
                       uint32_t n) {
  char network[OBS_PEER_NETWORK_MAX];
  if (a == NULL) return;
  obs_peer_network(peer, network);
  obs_access_denial why = status == 401   ? OBS_ACCESS_DENIED_NO_KEY
                          : status == 429 ? OBS_ACCESS_DENIED_LIMITED
                                          : OBS_ACCESS_DENIED_FORBIDDEN;
  atomic_fetch_add(&a->denials[why], n);
  obs_audit_refused(a->audit, network, key_id != NULL ? key_id : "", what, status, n);
}

void obs_access_audit(obs_access *a, const char *what, const char *key_id, const char *detail) {
  obs_buf row = {0};
  if (a == NULL) return;
  obs_audit_put(&row, what, key_id, detail);
  obs_audit_write(a->audit, &row);
  obs_buf_fini(&row);
}

void obs_access_tick(obs_access *a, bool force) {
  if (a == NULL) return;
  if (a->path != NULL) reload(a, force);
  obs_audit_tick(a->audit, obs_clock_mono_ms());
}

void obs_access_get_counts(obs_access *a, obs_access_counts *out) {
  *out = (obs_access_counts){0};
  if (a == NULL) return;
  *out = (obs_access_counts){.accepted = atomic_load(&a->accepted),
                             .limited = atomic_load(&a->limited),
                             .reloads = atomic_load(&a->reloads),
                             .broken = atomic_load(&a->broken),
                             .audit_lost = obs_audit_lost(a->audit),
                             .stale = atomic_load(&a->stale)};
  for (uint32_t i = 0; i < OBS_ACCESS_DENIALS; i++) out->denied += out->denials[i] = atomic_load(&a->denials[i]);
  if (a->path == NULL) return;
  key_set *s = hold_current(a);
  out->keys = s->keys.n;
  release_set(s);
}
