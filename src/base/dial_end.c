#include "base/dial_end.h"

#include <stddef.h>

/* In the order of obs_dial_end's counts. `tls` NULL: as `plain`. */
static const struct {
  const char *stat, *plain, *tls;
} ends[OBS_DIAL_ENDS] = {
    {"connect", NULL, NULL}, /* no failure; it stands first, because the connection has gone again */
    {"refused", "connection refused", NULL},
    {"auth", "connection failed",
     "TLS failed: the daemon's certificate is of another authority than those trusted, has expired or is for another "
     "name, or the daemon wants a certificate of this side"},
    {"disconnect", "the connection was closed while it was made", NULL},
    {"timeout", "no connection in time", NULL},
    {"proto", "the listener there is for another kind of peer", NULL},
    {"oom", "out of memory", NULL},
    {"other", "connection failed: no such host, or the listener closed it",
     "connection failed: no such host, or the daemon closed it: does it want a certificate of this side?"},
};

const char *obs_dial_end_look(obs_dial_end *d, nng_stat *root, bool tls) {
  nng_stat *of_dialer = nng_stat_find_dialer(root, d->id);
  for (int i = 0; of_dialer != NULL && i < OBS_DIAL_ENDS; i++) {
    nng_stat *stat = nng_stat_find(of_dialer, ends[i].stat);
    uint64_t n = stat != NULL ? nng_stat_value(stat) : 0;
    if (n > d->ends[i]) d->last = ends[i].plain != NULL ? i : -1;
    d->ends[i] = n;
  }
  if (d->last < 0) return NULL;
  return tls && ends[d->last].tls != NULL ? ends[d->last].tls : ends[d->last].plain;
}
