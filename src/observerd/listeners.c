#include "observerd/listeners.h"

#include "access/key_text.h"
#include "base/json.h"
#include "stream/address.h"

#include <stdlib.h>
#include <string.h>

enum { KINDS = 5 };

static const struct {
  const char *name;
  unsigned scopes; /* one of which its peers need */
} kinds[KINDS] = {{"http", OBS_SCOPE_OF_KEYS},
                  {"pull", OBS_SCOPE_INGEST},
                  {"sub", OBS_SCOPE_INGEST},
                  {"rep", OBS_SCOPE_INGEST | OBS_SCOPE_READ},
                  {"feed", OBS_SCOPE_READ}};

static const obs_option_list *urls_of(const obs_config *c, size_t kind) {
  const obs_option_list *const all[KINDS] = {&c->http, &c->pull, &c->sub, &c->rep, &c->feed};
  return all[kind];
}

static bool is_http(const char *kind) {
  return strcmp(kind, kinds[0].name) == 0;
}

/* ---- what others can do ---- */

/* Whoever reaches it may do all that it does. */
static bool is_open(const obs_config *c, const char *kind, const obs_address *a) {
  bool certified = a->tls && c->tls_ca != NULL; /* its clients need a certificate */
  if (a->dial || a->kind == OBS_ADDRESS_INPROC) return false;
  if (c->keys == NULL) return !certified && !obs_address_is_local(a);
  return !is_http(kind) && !certified && a->key[0] == '\0' && a->nuids == 0;
}

static bool is_plain(const obs_address *a) {
  return !a->dial && !a->tls && !obs_address_is_local(a);
}

/* ---- which are allowed ---- */

/* Why a listener could not be opened, whatever the machine: false, and the reason in `why`. */
static bool is_listener(const obs_config *c, const char *url, const char *kind, obs_address *a, char *why,
                        size_t size) {
  if (obs_address_parse(url, a, why, size) != OBSERVER_E_OK) return false;
  if (is_http(kind) && a->dial)
    (void)snprintf(why, size, "dial: HTTP only listens");
  else if (a->key[0] != '\0' && c->keys == NULL)
    (void)snprintf(why, size, "key: there is no key file");
  else if (a->tls && !a->dial && (c->tls_cert == NULL || c->tls_key == NULL))
    (void)snprintf(why, size, "needs --tls-cert and --tls-key");
  else
    return true;
  return false;
}

/* Both faults of a listener at once: who mends one need not find the other at the next start. */
static bool check_one(const obs_config *c, const char *kind, const char *url, obs_buf *error) {
  obs_address a;
  char why[160];
  if (!is_listener(c, url, kind, &a, why, sizeof why)) {
    char *shown = obs_option_shown(url);
    obs_buf_printf(error, "%s %s: %s\n", kind, shown != NULL ? shown : "", why);
    free(shown);
    return false;
  }
  bool open = is_open(c, kind, &a) && !c->allow_open;
  bool plain = is_plain(&a) && !is_http(kind) && !c->allow_plain;
  if (open)
    obs_buf_printf(error, "%s %s: %s, client certificates (TLS with --tls-ca), or --allow-open\n", kind, url,
                   c->keys != NULL ? "does not say who its peers are: needs ;key=ID, ;uid=NUMBER (ipc)"
                                   : "can be reached by others and is open to all: needs --keys");
  if (plain)
    obs_buf_printf(error, "%s %s: can be reached by others and is not encrypted: needs TLS (%s), or --allow-plain\n",
                   kind, url, a.kind == OBS_ADDRESS_WS ? "wss" : "tls+tcp");
  return !open && !plain;
}

bool obs_listeners_check(const obs_config *c, obs_buf *error) {
  bool good = true;
  for (size_t i = 0; i < KINDS; i++) {
    const obs_option_list *urls = urls_of(c, i);
    for (size_t k = 0; k < urls->n; k++) good &= check_one(c, kinds[i].name, urls->items[k], error);
  }
  return good;
}

/* ---- the keys that listeners name ---- */

static bool check_key(const obs_config *c, obs_access *access, size_t kind, const char *url, char *error, size_t size) {
  obs_address a;
  char why[160];
  obs_identity identity;
  obs_buf needs = {0};
  if (obs_address_parse(url, &a, why, sizeof why) != OBSERVER_E_OK || a.key[0] == '\0') return true;
  bool valid = obs_access_listener(access, a.key, &identity) == OBS_ACCESS_OK;
  bool enough = valid && obs_identity_may(&identity, kinds[kind].scopes);
  obs_access_release(&identity);
  if (!valid && obs_key_text_is_id(obs_str_of(a.key)))
    (void)snprintf(error, size, "%s %s: key: %s has no valid key %s", kinds[kind].name, url, c->keys, a.key);
  else if (!valid) { /* perhaps a secret */
    char *shown = obs_option_shown(url);
    (void)snprintf(error, size, "%s %s: key: takes the id, the third part of a key's text", kinds[kind].name,
                   shown != NULL ? shown : "");
    free(shown);
  }
  if (valid && !enough) {
    obs_scope_put(&needs, kinds[kind].scopes, " or ");
    (void)snprintf(error, size, "%s %s: key: %s may not do that: needs %.*s", kinds[kind].name, url, a.key,
                   needs.oom ? 0 : (int)needs.len, needs.oom ? "" : needs.p);
    obs_buf_fini(&needs);
  }
  return enough;
}

observer_err obs_listeners_open_access(const obs_config *c, const char *audit_path, obs_access **out, char *error,
                                       size_t size) {
  const obs_access_opts opts = {c->keys, audit_path};
  observer_err err = obs_access_open(&opts, out, error, size);
  for (size_t i = 0; i < KINDS && err == OBSERVER_E_OK; i++) {
    const obs_option_list *urls = urls_of(c, i);
    for (size_t k = 0; k < urls->n && err == OBSERVER_E_OK; k++)
      if (!check_key(c, *out, i, urls->items[k], error, size)) err = OBSERVER_E_INVALID;
  }
  if (err == OBSERVER_E_OK) return err;
  obs_access_close(*out);
  *out = NULL;
  return err;
}

/* ---- what is told of those that run ---- */

void obs_listeners_risks(const obs_config *c, obs_listeners_fn fn, void *arg) {
  for (size_t i = 0; i < KINDS; i++) {
    const obs_option_list *urls = urls_of(c, i);
    for (size_t k = 0; k < urls->n; k++) {
      obs_address a;
      char why[160];
      if (obs_address_parse(urls->items[k], &a, why, sizeof why) != OBSERVER_E_OK) continue; /* checked already */
      if (is_open(c, kinds[i].name, &a)) fn(arg, OBS_LISTENER_OPEN, kinds[i].name, urls->items[k]);
      if (is_plain(&a)) fn(arg, OBS_LISTENER_PLAIN, kinds[i].name, urls->items[k]);
    }
  }
}

typedef struct {
  obs_json_writer w;
  obs_listener_risk risk;
} risk_list;

static void add_risk(void *arg, obs_listener_risk risk, const char *kind, const char *url) {
  risk_list *list = arg;
  char text[OBS_ADDRESS_MAX * 2];
  if (risk != list->risk) return;
  (void)snprintf(text, sizeof text, "%s %s", kind, url);
  obs_json_cstr(&list->w, NULL, text);
}

void obs_listeners_json(const obs_config *c, obs_listener_risk risk, obs_buf *out) {
  risk_list list = {obs_json_write(out), risk};
  obs_json_array(&list.w, NULL);
  obs_listeners_risks(c, add_risk, &list);
  obs_json_end(&list.w);
}

const char *obs_listeners_text(const obs_config *c, obs_listener_risk risk, const char *kind) {
  if (risk == OBS_LISTENER_OPEN)
    return c->keys != NULL ? "can be used without a key (--allow-open)"
                           : "can be reached by others and is open to all (--allow-open)";
  return is_http(kind) ? "can be reached by others and is not encrypted (https would be)"
                       : "can be reached by others and is not encrypted (--allow-plain)";
}
