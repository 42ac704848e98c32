/* The gateway's log: posts to GATEWAY_URL/log, in the older observer's form.
 *
 * obs_gateway_log never waits: the post goes into a queue of at most OBS_GATEWAY_POSTS posts and OBS_GATEWAY_BYTES
 * bytes, which the thread `obs:gateway` sends in order. A post for which there is no room is dropped and counted; one
 * that fails is logged and not repeated (but as obs_calls does). All functions take a NULL gateway: nothing is posted.
 */
#ifndef OBS_OUTBOUND_GATEWAY_H
#define OBS_OUTBOUND_GATEWAY_H

#include "outbound/calls.h"

enum { OBS_GATEWAY_POSTS = 256, OBS_GATEWAY_BYTES = 1 << 20, OBS_GATEWAY_TIMEOUT_MS = 5000 };

typedef struct obs_gateway obs_gateway;

typedef struct {
  obs_calls *calls;    /* outlives the gateway */
  const char *url;     /* GATEWAY_URL */
  uint32_t timeout_ms; /* of a post; 0: OBS_GATEWAY_TIMEOUT_MS */
} obs_gateway_opts;

observer_err obs_gateway_open(const obs_gateway_opts *opts, obs_gateway **out);
observer_err obs_gateway_start(obs_gateway *g);
/* {"operation":...,"approach":...,"result":...,"context":...}, in this order, as JSON.stringify writes it. Any thread.
 */
void obs_gateway_log(obs_gateway *g, obs_str operation, obs_str approach, obs_str result, obs_str context);
/* Waits until the queue is sent, `deadline_ms` at most, and drops the rest. A post that is being sent goes on until
 * obs_calls_stop. */
void obs_gateway_stop(obs_gateway *g, uint32_t deadline_ms);
/* Joins the thread. */
void obs_gateway_close(obs_gateway *g);

typedef struct {
  uint32_t waiting;
  uint64_t dropped;
} obs_gateway_counts;
void obs_gateway_get_counts(obs_gateway *g, obs_gateway_counts *out);

/* Appends `base`, without the slashes it ends in, `path`, and a NUL. */
void obs_gateway_url(obs_buf *out, const char *base, const char *path);
/* The first `units` UTF-16 units of a text, never half a character: as the older observer cut its texts. */
obs_str obs_gateway_cut(obs_str text, uint32_t units);

#endif
