/* A set of names with small dense ids, bounded in names and in bytes.
 *
 * Id 0 is always OBS_NAMES_OTHER, outside the bounds: it is what a name becomes that there is no room (or no memory)
 * for. Ids of removed names are used again. Finding the same name twice in a row costs one comparison. Not thread-safe.
 */
#ifndef OBS_BASE_NAMES_H
#define OBS_BASE_NAMES_H

#include "base/buf.h"

#include <observer/error.h>

#define OBS_NAMES_OTHER "(other)"
enum { OBS_NAME_OTHER = 0 };

typedef struct {
  char *p; /* NULL: the id is free */
  uint32_t len;
  uint32_t next_free;
  uint64_t hash;
  uint64_t refs; /* the user's */
} obs_name;

typedef struct {
  obs_name *names; /* by id; ids from 0 to ids - 1 */
  uint32_t *slots; /* open addressing: id + 1, 0 is empty */
  uint32_t *order; /* ids in use sorted by name; stale when !ordered */
  uint32_t ids, cap, mask, used, max, free_id, last;
  size_t bytes, max_bytes; /* of text */
  bool ordered;
} obs_names;

/* `max` names beside OBS_NAMES_OTHER, `max_bytes` of their text. */
observer_err obs_names_init(obs_names *n, uint32_t max, size_t max_bytes);
void obs_names_fini(obs_names *n);
/* The id of `name`, UINT32_MAX when it is not in the set. */
uint32_t obs_names_find(obs_names *n, obs_str name);
/* The id of `name`, added when it is new and there is room, else OBS_NAME_OTHER. */
uint32_t obs_names_intern(obs_names *n, obs_str name);
void obs_names_remove(obs_names *n, uint32_t id);
static inline obs_str obs_names_text(const obs_names *n, uint32_t id) {
  return (obs_str){n->names[id].p, n->names[id].len, 0};
}
/* A name as views show it: one of more than OBS_NAMES_SHOWN bytes is cut on a character's boundary and ends in `…` and
 * eight hex digits of its hash, so that names that begin alike stay apart. In `room`, if it was cut. */
enum { OBS_NAMES_SHOWN = 128 };
obs_str obs_names_shown(obs_str name, char room[OBS_NAMES_SHOWN + 1]);
/* The ids in use (n->used of them, OBS_NAME_OTHER included), sorted bytewise by name. Valid until the next change. */
const uint32_t *obs_names_sorted(obs_names *n);

#endif
