#include "sp/admit.h"

#include "base/clock.h"
#include "base/vec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { TELL_EVERY_MS = 60000 };

/* ---- listeners ---- */

bool obs_sp_doors_add(obs_sp_doors *d, const obs_address *a, const char *bound) {
  obs_sp_door *more = reallocarray(d->doors, d->ndoors + 1, sizeof *more);
  if (more == NULL) return false;
  d->doors = more;
  obs_sp_door *door = &d->doors[d->ndoors++];
  *door = (obs_sp_door){0};
  (void)snprintf(door->what, sizeof door->what, "%s %s", d->name, bound);
  (void)snprintf(door->key, sizeof door->key, "%s", a->key);
  return true;
}

void obs_sp_doors_fini(obs_sp_doors *d) {
  free(d->doors);
  *d = (obs_sp_doors){0};
}

static obs_sp_door *door_of(const obs_sp_doors *d, const obs_stream *s) {
  return &d->doors[obs_stream_listener_number(s)];
}

/* Who the listener's peers are without a key of their own. Nobody: {0}. */
static obs_identity identity_of(const obs_sp_doors *d, const obs_sp_door *door) {
  obs_identity who = {0};
  if (door->key[0] == '\0') return (obs_identity){.scopes = OBS_SCOPE_INGEST | OBS_SCOPE_READ};
  if (obs_access_listener(d->access, door->key, &who) != OBS_ACCESS_OK) return (obs_identity){0};
  return who;
}

bool obs_sp_door_admits(const obs_sp_doors *d, uint32_t door, unsigned scopes) {
  if (!obs_access_enabled(d->access)) return true;
  obs_identity who = identity_of(d, &d->doors[door]);
  bool admits = (who.scopes & scopes) != 0;
  obs_access_release(&who);
  return admits;
}

/* ---- peers ---- */

/* `generation`: from before it was looked up, so that keys that came meanwhile are looked at once more. */
static void become(obs_sp_guest *g, obs_identity who, uint64_t generation, bool own) {
  obs_access_release(&g->identity);
  *g = (obs_sp_guest){who, generation, true, own};
}

/* Whether what was found out about the peer is still true. Somebody stays who it is while its key does; nobody may turn
 * into somebody when the listener's key comes back, while one whose own key is gone has to send another one. */
static bool is_current(obs_sp_guest *g, const obs_sp_doors *d) {
  if (!g->known) return false;
  if (g->identity.scopes != 0) return obs_access_still(d->access, &g->identity);
  return g->own || g->generation == obs_access_generation(d->access);
}

const obs_identity *obs_sp_guest_identity(obs_sp_guest *g, const obs_sp_doors *d, const obs_stream *s) {
  static const obs_identity everybody = {.scopes = OBS_SCOPE_OF_KEYS};
  if (!obs_access_enabled(d->access)) return &everybody;
  if (is_current(g, d)) return &g->identity;
  bool own = g->own;
  uint64_t generation = obs_access_generation(d->access);
  become(g, own ? (obs_identity){0} : identity_of(d, door_of(d, s)), generation, own);
  return &g->identity;
}

obs_access_result obs_sp_guest_identify(obs_sp_guest *g, const obs_sp_doors *d, const obs_stream *s, obs_str text) {
  obs_identity who = {0};
  obs_key_text parsed;
  if (!obs_access_enabled(d->access)) return OBS_ACCESS_OK;
  uint64_t generation = obs_access_generation(d->access);
  obs_access_result result = obs_access_key(d->access, text, obs_stream_peer(s), &who);
  if (result == OBS_ACCESS_OK) {
    become(g, who, generation, true);
    return result;
  }
  bool limited = result == OBS_ACCESS_LIMITED;
  obs_sp_denied(d, s, obs_key_text_parse(text, &parsed) ? parsed.id : "", limited ? 429 : 401,
                limited ? "too many wrong keys" : "a wrong key", 1);
  return result;
}

void obs_sp_guest_fini(obs_sp_guest *g) {
  obs_access_release(&g->identity);
  *g = (obs_sp_guest){0};
}

/* ---- denials ---- */

void obs_sp_why_not(const obs_identity *who, unsigned needs, char out[OBS_SP_WHY_MAX]) {
  obs_buf scopes = {0};
  if (who->scopes == 0) {
    (void)snprintf(out, OBS_SP_WHY_MAX, "a valid key is needed");
    return;
  }
  obs_scope_put(&scopes, needs, " or ");
  (void)snprintf(out, OBS_SP_WHY_MAX, "this key may not do that: needs %.*s", (int)scopes.len,
                 scopes.p != NULL ? scopes.p : "");
  obs_buf_fini(&scopes);
}

void obs_sp_denied(const obs_sp_doors *d, const obs_stream *s, const char *key_id, unsigned status, const char *why,
                   uint32_t n) {
  obs_sp_door *door = door_of(d, s);
  obs_access_denied(d->access, obs_stream_peer(s), key_id, door->what, status, n);
  uint64_t now = obs_clock_mono_ms(), told = atomic_load(&door->told_at);
  uint64_t denied = atomic_fetch_add(&door->denied, n) + n;
  if (!obs_log_enabled(OBS_LOG_WARN)) return;
  if (told != 0 && now < told + TELL_EVERY_MS) return;
  if (!atomic_compare_exchange_strong(&door->told_at, &told, now)) return; /* another thread tells */
  obs_log_write(&door->site, OBS_LOG_WARN, "sp", "%s: refused %s%s%s: %s (refused here so far: %" PRIu64 ")",
                door->what, obs_stream_peer(s), key_id[0] != '\0' ? ", key " : "", key_id, why, denied);
}
