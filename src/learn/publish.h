/* What the learning loops tell others: a map for the feed, and the gateway's log in the older observer's shape. */
#ifndef OBS_LEARN_PUBLISH_H
#define OBS_LEARN_PUBLISH_H

#include "outbound/calls.h"

#include <cjson/cJSON.h>

/* Puts a map on the feed's topic (feed.h); `fields` stays the caller's. Any thread; never waits. fn NULL: nobody. */
typedef struct {
  void (*fn)(void *arg, const char *topic, const cJSON *fields);
  void *arg;
} obs_publish;

/* POSTs to GATEWAY_URL/log; fields are cut as the older observer cut them (in UTF-16 units). */
typedef struct {
  obs_calls *calls;
  const char *url; /* GATEWAY_URL; NULL: none, nothing is posted */
  uint32_t timeout_ms;
} obs_gateway;

/* {"operation":...,"approach":...,"result":...,"context":...}, in this order, as JSON.stringify writes it. */
bool obs_gateway_log(const obs_gateway *g, obs_str operation, obs_str approach, obs_str result, obs_str context);
/* Appends `base`, without the slashes it ends in, `path`, and a NUL. */
void obs_publish_url(obs_buf *out, const char *base, const char *path);
/* The first `units` UTF-16 units of a text, never half a character. */
obs_str obs_gateway_cut(obs_str text, uint32_t units);

#endif
