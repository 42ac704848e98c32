/* A build without libnats: nothing opens, so of the rest nothing is ever called with something that is open. */
#include "nats/jetstream.h"

#include <stdio.h>

#pragma GCC diagnostic ignored "-Wunused-parameter" /* what nothing can be done with */

static observer_err absent(char *why) {
  if (why != NULL) (void)snprintf(why, OBS_NATS_WHY_MAX, "this program was built without NATS (libnats-dev)");
  return OBSERVER_E_INVALID;
}

bool obs_nats_is_built_in(void) {
  return false;
}

observer_err obs_nats_open(const obs_nats_opts *opts, obs_nats **out, char *why) {
  *out = NULL;
  return absent(why);
}

void obs_nats_close(obs_nats *n) {}

bool obs_nats_is_connected(obs_nats *n) {
  return false;
}

bool obs_nats_is_closed(obs_nats *n) {
  return true;
}

bool obs_nats_wait(obs_nats *n, uint32_t timeout_ms) {
  return false;
}

observer_err obs_nats_get_server(obs_nats *n, obs_nats_server *out) {
  return absent(NULL);
}

observer_err obs_nats_stream_ensure(obs_nats *n, const char *name, const char *const *subjects, size_t nsubjects,
                                    uint32_t replicas, uint64_t max_bytes, obs_nats_stream *out, char *why) {
  return absent(why);
}

observer_err obs_nats_stream_look(obs_nats *n, const char *name, obs_nats_stream *out, char *why) {
  return absent(why);
}

observer_err obs_nats_stream_get(obs_nats *n, const char *name, uint64_t seq, obs_buf *data, char *why) {
  return absent(why);
}

observer_err obs_nats_stream_last(obs_nats *n, const char *name, const char *subject, uint64_t *seq, obs_buf *data,
                                  char *why) {
  return absent(why);
}

observer_err obs_nats_publish(obs_nats *n, const char *subject, const char *msg_id, const void *data, size_t len,
                              uint32_t timeout_ms, obs_nats_published done, void *arg, char *why) {
  return absent(why);
}

observer_err obs_nats_send(obs_nats *n, const char *subject, const char *reply, const void *data, size_t len) {
  return absent(NULL);
}

observer_err obs_nats_request(obs_nats *n, const char *subject, const void *data, size_t len, uint32_t timeout_ms,
                              obs_buf *answer, char *why) {
  return absent(why);
}

observer_err obs_nats_listen(obs_nats *n, const char *subject, obs_nats_heard heard, void *arg, obs_nats_listener **out,
                             char *why) {
  *out = NULL;
  return absent(why);
}

void obs_nats_listener_close(obs_nats_listener *l) {}

observer_err obs_nats_kv_open(obs_nats *n, const char *bucket, uint32_t replicas, uint64_t ttl_ms, obs_nats_kv **out,
                              char *why) {
  *out = NULL;
  return absent(why);
}

void obs_nats_kv_close(obs_nats_kv *kv) {}

observer_err obs_nats_kv_get(obs_nats_kv *kv, const char *key, obs_buf *value, uint64_t *revision, char *why) {
  return absent(why);
}

observer_err obs_nats_kv_create(obs_nats_kv *kv, const char *key, const void *value, size_t len, uint64_t *revision,
                                char *why) {
  return absent(why);
}

observer_err obs_nats_kv_update(obs_nats_kv *kv, const char *key, const void *value, size_t len, uint64_t expected,
                                uint64_t *revision, char *why) {
  return obs_nats_kv_create(kv, key, value, len, revision, why);
}

observer_err obs_nats_kv_put(obs_nats_kv *kv, const char *key, const void *value, size_t len, uint64_t *revision,
                             char *why) {
  return obs_nats_kv_create(kv, key, value, len, revision, why);
}

observer_err obs_nats_kv_delete(obs_nats_kv *kv, const char *key, char *why) {
  return absent(why);
}

observer_err obs_nats_kv_keys(obs_nats_kv *kv, const char *prefix, void (*fn)(void *arg, const char *key), void *arg,
                              char *why) {
  return absent(why);
}

observer_err obs_nats_pull_open(obs_nats *n, const char *stream, const char *filter, uint64_t start_seq,
                                obs_nats_pull **out, char *why) {
  *out = NULL;
  return absent(why);
}

observer_err obs_nats_pull_fetch(obs_nats_pull *p, uint32_t max_msgs, uint64_t max_bytes, uint32_t timeout_ms,
                                 bool (*fn)(void *arg, const obs_nats_message *m), void *arg, char *why) {
  return absent(why);
}

void obs_nats_pull_close(obs_nats_pull *p) {}

observer_err obs_nats_queue_ensure(obs_nats *n, const char *name, const char *const *subjects, size_t nsubjects,
                                   uint32_t replicas, uint64_t max_bytes, obs_nats_stream *out, char *why) {
  return obs_nats_stream_ensure(n, name, subjects, nsubjects, replicas, max_bytes, out, why);
}

observer_err obs_nats_publish_headers(obs_nats *n, const char *subject, const char *msg_id,
                                      const obs_nats_header *headers, size_t nheaders, const void *data, size_t len,
                                      uint32_t timeout_ms, obs_nats_published done, void *arg, char *why) {
  return obs_nats_publish(n, subject, msg_id, data, len, timeout_ms, done, arg, why);
}

uint64_t obs_nats_max_payload(obs_nats *n) {
  return 0;
}

observer_err obs_nats_flush(obs_nats *n, uint32_t timeout_ms, char *why) {
  return absent(why);
}

observer_err obs_nats_work_open(obs_nats *n, const char *stream, const char *name, uint32_t ack_wait_ms,
                                uint32_t max_pending, obs_nats_work **out, char *why) {
  *out = NULL;
  return absent(why);
}

observer_err obs_nats_work_fetch(obs_nats_work *w, uint32_t max_msgs, uint64_t max_bytes, uint32_t timeout_ms,
                                 void (*fn)(void *arg, const obs_nats_task *t), void *arg, char *why) {
  return absent(why);
}

void obs_nats_work_return(obs_nats_work *w, uint32_t delay_ms) {}

void obs_nats_work_close(obs_nats_work *w) {}

observer_err obs_nats_task_done(obs_nats *n, const char *reply) {
  return absent(NULL);
}

observer_err obs_nats_task_return(obs_nats *n, const char *reply, uint32_t delay_ms) {
  return absent(NULL);
}
