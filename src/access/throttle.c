#include "access/throttle.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

enum { WAYS = 4, REFILL_MS = 1000, FULL_MS = OBS_THROTTLE_BURST * REFILL_MS };

/* A bucket as the moment at which it is full again: full when that is past, empty when it is FULL_MS ahead. */
typedef struct {
  uint64_t network; /* its hash */
  uint64_t full_ms;
} bucket;

struct obs_throttle {
  pthread_mutex_t lock;
  uint64_t seed; /* so that nobody chooses whose bucket he shares */
  bucket buckets[OBS_THROTTLE_PLACES];
};

obs_throttle *obs_throttle_open(void) {
  obs_throttle *t = calloc(1, sizeof *t);
  if (t == NULL) return NULL;
  if (getrandom(&t->seed, sizeof t->seed, 0) != sizeof t->seed) t->seed = obs_clock_mono_ns();
  if (pthread_mutex_init(&t->lock, NULL) == 0) return t;
  free(t);
  return NULL;
}

void obs_throttle_close(obs_throttle *t) {
  if (t == NULL) return;
  (void)pthread_mutex_destroy(&t->lock);
  free(t);
}

/* The network's bucket, or the fullest one of those that it may have. */
static bucket *bucket_of(obs_throttle *t, uint64_t network) {
  bucket *row = &t->buckets[network % (OBS_THROTTLE_PLACES / WAYS) * WAYS], *fullest = row;
  for (bucket *b = row; b < row + WAYS; b++) {
    if (b->network == network) return b;
    if (b->full_ms < fullest->full_ms) fullest = b;
  }
  *fullest = (bucket){.network = network};
  return fullest;
}

bool obs_throttle_failed(obs_throttle *t, const char *network, uint64_t now_ms) {
  uint64_t hash = XXH3_64bits_withSeed(network, strlen(network), t->seed);
  (void)pthread_mutex_lock(&t->lock);
  bucket *b = bucket_of(t, hash);
  if (b->full_ms < now_ms) b->full_ms = now_ms;
  bool limited = b->full_ms + REFILL_MS > now_ms + FULL_MS;
  if (!limited) b->full_ms += REFILL_MS;
  (void)pthread_mutex_unlock(&t->lock);
  return limited;
}
