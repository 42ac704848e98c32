#include "bridge/gate.h"

#include "access/access.h"
#include "base/base64.h"
#include "base/log.h"
#include "bridge/internal.h"

#include <strings.h>

enum { CREDENTIAL_MAX = 512 /* bytes of a Basic credential that are looked at; a key is 67 */ };

/* ---- the key that a request carries ---- */

/* What follows `scheme` and white space; p NULL: it is of another scheme. */
static obs_str of_scheme(obs_str credential, const char *scheme) {
  uint32_t n = (uint32_t)strlen(scheme);
  if (credential.len < n || strncasecmp(credential.p, scheme, n) != 0) return (obs_str){0};
  if (credential.len > n && credential.p[n] != ' ' && credential.p[n] != '\t') return (obs_str){0};
  while (n < credential.len && (credential.p[n] == ' ' || credential.p[n] == '\t')) n++;
  return obs_str_slice(credential, n, UINT32_MAX);
}

/* The password of `user:password`, decoded into `space`. What cannot be read is no key, and not "no key was given". */
static obs_str password_of(obs_str basic, obs_buf *space) {
  const char *colon;
  if (basic.len > CREDENTIAL_MAX || !obs_base64_decode(basic, space) || space->oom || space->len == 0)
    return OBS_STR("");
  colon = memchr(space->p, ':', space->len);
  if (colon == NULL) return OBS_STR("");
  return obs_str_slice(obs_buf_view(space), (uint32_t)(colon + 1 - space->p), UINT32_MAX);
}

typedef enum { NO_KEY, ONE_KEY, TWO_KEYS } carried;

/* Which key the request carries. `space` is what the key may point into. */
static carried find_key(const obs_httpd_head *h, obs_buf *space, obs_str *key) {
  obs_str bearer = of_scheme(h->authorization, "bearer"), basic = of_scheme(h->authorization, "basic");
  obs_str authorized = bearer.p != NULL ? bearer : basic.p != NULL ? password_of(basic, space) : (obs_str){0};
  *key = authorized.p != NULL ? authorized : h->api_key;
  if (h->many_credentials) return TWO_KEYS;
  if (authorized.p != NULL && h->api_key.p != NULL && !obs_str_eq(authorized, h->api_key)) return TWO_KEYS;
  return key->p != NULL ? ONE_KEY : NO_KEY;
}

/* ---- who that is ---- */

/* What a request without a key may do: what its listener's configuration says. */
static obs_access_result identify_listener(obs_connection *s) {
  const obs_address *at = obs_httpd_address(&s->http);
  if (at->key[0] != '\0') return obs_access_listener(s->bridge->opts.access, at->key, &s->identity);
  if (at->nuids == 0) return OBS_ACCESS_NONE;
  s->identity = (obs_identity){.scopes = OBS_SCOPE_INGEST | OBS_SCOPE_READ};
  return OBS_ACCESS_OK;
}

/* ---- refusals ---- */

/* The row of the table says what was asked for: nothing of the request's own text gets into the audit. */
static void note(const obs_connection *s, const char *key_id, const char *more, unsigned status) {
  const obs_route *r = s->route;
  char what[OBS_ROUTE_NAME_MAX + 32] = "another path or method";
  if (r != NULL) (void)snprintf(what, sizeof what, "%s %s%s%s", r->method, obs_route_prefix(s->family), r->name, more);
  obs_access_denied(s->bridge->opts.access, obs_httpd_peer(&s->http), key_id, what, status, 1);
}

static const char *own_id(const obs_connection *s) {
  return s->identity.key != NULL ? s->identity.key->id : "";
}

void obs_gate_note_source(const obs_connection *s) {
  note(s, own_id(s), " (source)", 0);
}

void obs_gate_note_stranger(void *bridge, const obs_address *at, const char *peer) {
  const obs_bridge *b = bridge;
  char what[OBS_ADDRESS_MAX + 8];
  (void)snprintf(what, sizeof what, "http %s", at->url);
  obs_access_denied(b->opts.access, peer, "", what, 401, 1);
  obs_log_warn("bridge", "%s: refused %s: not one of the listener's users", what, peer);
}

/* There is no valid key. One answer for every reason: it says nothing about which keys there are. */
static void refuse_stranger(obs_connection *s, const char *key_id, bool limited) {
  obs_answer *a = &s->http.answer;
  if (limited) {
    obs_answer_error(a, &s->http.out, 429, "too many wrong keys from this address; try again in a second");
  } else {
    obs_answer_error(a, &s->http.out, 401, "a valid key is needed");
    a->challenge = "Bearer realm=\"observer\"";
  }
  note(s, key_id, "", a->status);
}

static void refuse_scope(obs_connection *s) {
  obs_buf needs = {0};
  obs_scope_put(&needs, s->route->scopes, " or ");
  obs_answer_error(&s->http.answer, &s->http.out, 403, "this key may not do that: needs %.*s",
                   needs.oom ? 0 : (int)needs.len, needs.oom ? "" : needs.p);
  obs_buf_fini(&needs);
  note(s, own_id(s), "", 403);
}

/* The daemon itself, for another of its fleet, which has looked at the key of who asks. */
static bool admit_own(obs_connection *s) {
  const obs_route *r = s->route;
  s->identity = (obs_identity){.scopes = OBS_SCOPE_READ};
  if (r == NULL) return true; /* a probe, or an error to come */
  if (r->fleet != NULL && obs_str_is(s->http.head.method, "GET") && obs_identity_may(&s->identity, r->scopes))
    return true;
  obs_answer_error(&s->http.answer, &s->http.out, 403, "a fleet asks for nothing but what scope=cluster shows");
  return false;
}

bool obs_gate_admit(obs_connection *s) {
  obs_access *access = s->bridge->opts.access;
  if (s->own) return admit_own(s);
  if (!obs_access_enabled(access)) {
    s->identity = obs_access_everything();
    return true;
  }
  const obs_route *r = s->route;
  /* `OPTIONS *` asks for no resource; it is how the daemon asks its own listeners whether they serve. */
  if (r == NULL && obs_str_is(s->http.head.path, "*")) return true;
  obs_buf space = {0};
  obs_str key;
  obs_key_text parsed;
  obs_access_result result = OBS_ACCESS_NONE;
  carried keys = find_key(&s->http.head, &space, &key);
  if (keys == ONE_KEY)
    result = obs_access_key(access, key, obs_httpd_peer(&s->http), &s->identity);
  else if (keys == NO_KEY)
    result = identify_listener(s);
  /* A path that does not exist, or not with this method, is told to whoever has a key. */
  bool known = result == OBS_ACCESS_OK, allowed = r != NULL ? obs_identity_may(&s->identity, r->scopes) : known;
  if (allowed)
    ;
  else if (keys == TWO_KEYS)
    obs_answer_error(&s->http.answer, &s->http.out, 400, "two different keys: give one");
  else if (known)
    refuse_scope(s);
  else
    refuse_stranger(s, obs_key_text_parse(key, &parsed) ? parsed.id : "", result == OBS_ACCESS_LIMITED);
  obs_buf_fini(&space);
  return allowed;
}

bool obs_gate_still(obs_connection *s) {
  if (obs_access_still(s->bridge->opts.access, &s->identity)) return true;
  if ((s->route->scopes & OBS_SCOPE_PUBLIC) != 0) { /* as anybody */
    obs_access_release(&s->identity);
    return true;
  }
  refuse_stranger(s, own_id(s), false);
  return false;
}

void obs_gate_leave(obs_connection *s) {
  obs_access_release(&s->identity);
}

bool obs_gate_is_known(const obs_connection *s) {
  return s->identity.scopes != 0;
}
