/* The inside of changes: what was seen (seen.c), the list of all changes (list.c). */
#ifndef OBS_CHANGES_INTERNAL_H
#define OBS_CHANGES_INTERNAL_H

#include "base/names.h"
#include "changes/changes.h"

#include <pthread.h>

enum { OBS_CHANGES_SLOTS = 2 * OBS_CHANGES_VALUES, OBS_CHANGES_EXTRAS = 256 };

/* Hashes of the values of a kind, never 0; open addressing, at most half full. */
typedef struct {
  uint64_t *slots; /* NULL: none yet */
  uint32_t n, cap;
  int64_t minute; /* in which `told` were told */
  uint32_t told;
} obs_changes_set;

/* A value that came for the first time. */
typedef struct {
  uint64_t seq;
  int64_t time_ms;
  uint8_t what, len, place_len;
  bool beyond;                 /* the set is full: those from now on are not told */
  uint32_t more;               /* not 0: so many values, which are not told one by one */
  char value[OBS_NAMES_SHOWN]; /* as it is shown */
  char place[OBS_NAMES_SHOWN]; /* the endpoint where it came */
} obs_changes_first;

struct obs_changes {
  obs_changes_opts opts;
  pthread_mutex_t lock;                       /* guards `firsts` and `last`, which only the commit thread changes */
  obs_changes_first firsts[OBS_CHANGES_KEPT]; /* number n at n % OBS_CHANGES_KEPT */
  uint64_t last;                              /* number; 0: none yet */

  /* The commit thread's own. */
  int64_t began_ms; /* receipt of the first op; 0: none */
  uint64_t seed;    /* saved with the hashes */
  obs_changes_set sets[OBS_CHANGES_KINDS];
  uint64_t extras[OBS_CHANGES_EXTRAS]; /* hashes of members of their own that were looked at lately */
};

extern const char *const obs_changes_members[OBS_CHANGES_KINDS];

#endif
