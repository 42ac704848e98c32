/* How the tries of an NNG dialer to connect ended, in words. NNG tells no more than how many ended in which way. */
#ifndef OBS_BASE_DIAL_END_H
#define OBS_BASE_DIAL_END_H

#include <nng/nng.h>
#include <stdbool.h>

enum { OBS_DIAL_ENDS = 8 };

/* One dialer; begins as {.id = dialer, .last = -1}. Not thread-safe. */
typedef struct {
  nng_dialer id;
  uint64_t ends[OBS_DIAL_ENDS]; /* as they were seen last */
  int last;                     /* which of them grew last; -1: none */
} obs_dial_end;

/* Looks at the process' statistics (nng_stats_get). The end of the last try that failed, as far as the counts show it,
 * without the URL; NULL: none has failed since it was connected. `tls`: its connections are TLS. */
const char *obs_dial_end_look(obs_dial_end *d, nng_stat *root, bool tls);

#endif
