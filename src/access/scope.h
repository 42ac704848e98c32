/* What somebody may do. A key has one scope or more; a route or socket asks for one of those that it lists. */
#ifndef OBS_ACCESS_SCOPE_H
#define OBS_ACCESS_SCOPE_H

#include "base/buf.h"

typedef enum {
  OBS_SCOPE_INGEST = 1, /* record ops and session records */
  OBS_SCOPE_READ = 2,   /* look at what is recorded and learned */
  OBS_SCOPE_ADMIN = 4,  /* change the daemon; a key with it has the two above as well */
  OBS_SCOPE_PUBLIC = 8  /* everybody, without a key; of routes alone, and with no other scope */
} obs_scope;

enum { OBS_SCOPE_OF_KEYS = OBS_SCOPE_INGEST | OBS_SCOPE_READ | OBS_SCOPE_ADMIN, OBS_SCOPES = 4 };

/* "ingest", "read", "admin", "public"; a single scope. */
const char *obs_scope_name(obs_scope s);
/* A scope that a key can have, so not "public". */
bool obs_scope_parse(obs_str name, obs_scope *out);
/* With what they imply. */
unsigned obs_scope_resolve(unsigned scopes);
/* The letter in the text of a key: i, r or a, of the highest scope. */
char obs_scope_letter(unsigned scopes);
/* Appends the names with `between` between them: "ingest, read". */
void obs_scope_put(obs_buf *out, unsigned scopes, const char *between);

#endif
