/* GET key: what the key of the request may do, and whether it may do one thing: a dry run for operators. */
#include "base/clock.h"
#include "bridge/internal.h"

typedef struct {
  obs_str method, path;
} key_filter;

static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
static const key_filter nothing_asked = {{0}, {0}};
static const obs_param key_params[] = {OBS_PARAM_OF("method", WORD, key_filter, method, methods),
                                       OBS_PARAM("path", TEXT, key_filter, path)};
const obs_params obs_bridge_key_params = OBS_PARAMS(key_params, nothing_asked);

static void put_scopes(obs_json_writer *w, const char *name, unsigned scopes) {
  obs_json_array(w, name);
  for (unsigned i = 0; i < OBS_SCOPES; i++)
    if ((scopes & 1u << i) != 0) obs_json_cstr(w, NULL, obs_scope_name((obs_scope)(1u << i)));
  obs_json_end(w);
}

static void put_time(obs_json_writer *w, const char *name, int64_t ms) {
  if (ms != OBS_KEY_NEVER)
    obs_json_time(w, name, ms);
  else
    obs_json_null(w, name);
}

/* Without a key everything is open: who asks may speak as any source, for ever. */
static void put_key(obs_json_writer *w, const obs_identity *i) {
  const obs_key *k = i->key;
  obs_json_cstr(w, "id", k != NULL ? k->id : NULL);
  obs_json_text(w, "name", k != NULL ? k->name : (obs_str){0});
  put_scopes(w, "scopes", i->scopes);
  obs_json_array(w, "sources");
  for (uint32_t n = 0; k != NULL && n < k->nsources; n++) obs_json_text(w, NULL, k->sources[n]);
  obs_json_end(w);
  put_time(w, "created", k != NULL ? k->created_ms : OBS_KEY_NEVER);
  put_time(w, "expires", k != NULL ? k->expires_ms : OBS_KEY_NEVER);
}

/* A path that is unknown, or takes other methods, needs nothing that a key could give. */
static void put_decision(obs_json_writer *w, const obs_identity *i, const key_filter *f) {
  const char *query = memchr(f->path.p, '?', f->path.len);
  obs_str path = query != NULL ? obs_str_slice(f->path, 0, (uint32_t)(query - f->path.p)) : f->path;
  const obs_route *r = obs_route_find(path, f->method).route;
  unsigned needs = r != NULL ? r->scopes : 0;
  obs_json_bool(w, "allowed", needs == OBS_SCOPE_PUBLIC || (needs & i->scopes) != 0);
  put_scopes(w, "needs", needs);
}

bool obs_bridge_get_key(obs_connection *s, const void *filter) {
  const key_filter *f = filter;
  if ((f->method.p == NULL) != (f->path.p == NULL)) {
    obs_answer_error(&s->http.answer, &s->http.out, 400, "%s: needs %s as well",
                     f->method.p != NULL ? "method" : "path", f->method.p != NULL ? "path" : "method");
    return true;
  }
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  put_key(&w, &s->identity);
  if (f->path.p != NULL) put_decision(&w, &s->identity, f);
  obs_json_end(&w);
  return true;
}
