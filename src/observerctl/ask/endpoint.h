/* Where the daemon's feed is. */
#ifndef OBS_OBSERVERCTL_ENDPOINT_H
#define OBS_OBSERVERCTL_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OBS_FEED_URL_MAX = 256 };

typedef struct {
  bool answered;              /* the daemon did, by HTTP */
  bool has_feed;              /* false when it answered that it has none */
  uint64_t seq;               /* of the last recorded op */
  char url[OBS_FEED_URL_MAX]; /* of the feed; the default one when the daemon does not tell */
  char error[256];            /* not answered: why */
} obs_endpoint;

/* Asks GET base/v1/observer/health. */
void obs_endpoint_find(const char *base, obs_endpoint *out);

#endif
