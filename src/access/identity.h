/* Who asks: what it may do, and the key that says so. */
#ifndef OBS_ACCESS_IDENTITY_H
#define OBS_ACCESS_IDENTITY_H

#include "access/keys.h"

/* A value. With a key it holds the set that the key is in, so that the key stays: release it (access.h); a copy of it
 * is to be held of its own. {0} may do nothing. */
typedef struct {
  unsigned scopes;
  const obs_key *key; /* NULL: none is needed */
  void *held;
} obs_identity;

/* Whether it may do what asks for one of the scopes; OBS_SCOPE_PUBLIC asks for none. */
static inline bool obs_identity_may(const obs_identity *i, unsigned scopes) {
  return (scopes & OBS_SCOPE_PUBLIC) != 0 || (i->scopes & scopes) != 0;
}

/* obs_key_speaks_as of its key; without one any source. */
static inline bool obs_identity_speaks_as(const obs_identity *i, obs_str source) {
  return i->key == NULL || obs_key_speaks_as(i->key, source);
}

#endif
