#include "access/scope.h"

static const struct {
  const char *name;
  char letter; /* 0: no key has it */
} scopes_by_bit[OBS_SCOPES] = {{"ingest", 'i'}, {"read", 'r'}, {"admin", 'a'}, {"public", 0}};

const char *obs_scope_name(obs_scope s) {
  for (unsigned i = 0; i < OBS_SCOPES; i++) {
    if ((unsigned)s == 1u << i) return scopes_by_bit[i].name;
  }
  return "none";
}

bool obs_scope_parse(obs_str name, obs_scope *out) {
  for (unsigned i = 0; i < OBS_SCOPES; i++) {
    if (scopes_by_bit[i].letter == 0 || !obs_str_is(name, scopes_by_bit[i].name)) continue;
    *out = (obs_scope)(1u << i);
    return true;
  }
  return false;
}

unsigned obs_scope_resolve(unsigned scopes) {
  return (scopes & OBS_SCOPE_ADMIN) != 0 ? scopes | OBS_SCOPE_INGEST | OBS_SCOPE_READ : scopes;
}

char obs_scope_letter(unsigned scopes) {
  char letter = 'i';
  for (unsigned i = 0; i < OBS_SCOPES; i++) {
    if ((scopes & 1u << i) != 0 && scopes_by_bit[i].letter != 0) letter = scopes_by_bit[i].letter;
  }
  return letter;
}

void obs_scope_put(obs_buf *out, unsigned scopes, const char *between) {
  const char *before = "";
  for (unsigned i = 0; i < OBS_SCOPES; i++) {
    if ((scopes & 1u << i) == 0) continue;
    obs_buf_puts(out, before);
    obs_buf_puts(out, scopes_by_bit[i].name);
    before = between;
  }
}
