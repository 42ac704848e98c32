#include "base/clock.h"

#include <observer/call.h>
#include <stdlib.h>
#include <string.h>

struct observer_timed {
  observer_client *client;
  observer_op op;
  uint64_t started_ns;
  char texts[]; /* what op.endpoint and op.input_summary point to */
};

static size_t text_size(const char *s) {
  return s == NULL ? 0 : strlen(s) + 1;
}

static const char *keep(char **to, const char *s) {
  size_t n = text_size(s);
  if (n == 0) return NULL;
  char *copy = memcpy(*to, s, n);
  *to += n;
  return copy;
}

observer_timed *observer_op_begin(observer_client *client, const char *endpoint, const char *input_summary) {
  observer_timed *t = calloc(1, sizeof(*t) + text_size(endpoint) + text_size(input_summary));
  if (t == NULL) return NULL;
  char *to = t->texts;
  t->client = client;
  t->op.endpoint = keep(&to, endpoint);
  t->op.input_summary = keep(&to, input_summary);
  t->started_ns = obs_clock_mono_ns();
  return t;
}

observer_op *observer_op_fields(observer_timed *timed) {
  return timed == NULL ? NULL : &timed->op;
}

void observer_op_end(observer_timed *timed, bool success, const char *output_summary) {
  if (timed == NULL) return;
  char now[OBS_ISO8601_LEN + 1];
  observer_op *op = &timed->op;
  op->duration_ms = OBSERVER_INT((int64_t)((obs_clock_mono_ns() - timed->started_ns + 500000) / 1000000));
  if (op->timestamp == NULL) {
    obs_clock_format(obs_clock_wall_ms(), now);
    op->timestamp = now;
  }
  op->success = success ? OBSERVER_TRUE : OBSERVER_FALSE;
  if (output_summary != NULL) op->output_summary = output_summary;
  if (!success && op->error == NULL) op->error = output_summary;
  if (timed->client != NULL) (void)observer_publish_wait(timed->client, op, 0, NULL);
  free(timed);
}

void observer_op_cancel(observer_timed *timed) {
  free(timed);
}
