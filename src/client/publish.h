/* What every way to publish shares. */
#ifndef OBS_CLIENT_PUBLISH_H
#define OBS_CLIENT_PUBLISH_H

#include <observer/observer.h>

/* An op whose pairs are known: `size` is the most bytes they take, and `write` writes them. */
typedef struct {
  uint32_t n;
  size_t size;
  bool has_timestamp, has_source, has_op_id;
  char *(*write)(char *p, const void *arg);
  const void *arg;
} obs_client_pairs;

/* Queues it, with what the client adds: timestamp, source, op_id. INVALID: too long with these. */
observer_err obs_client_publish(observer_client *c, const obs_client_pairs *pairs, int32_t block_ms, void *tag);
/* Counts a refused op and returns INVALID. */
observer_err obs_client_refuse(observer_client *c);

#endif
