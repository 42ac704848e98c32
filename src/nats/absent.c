/* A build without libnats: nothing opens, so of the rest nothing is ever called with something that is open. */
#include "nats/jetstream.h"

#include <stdio.h>

static observer_err absent(char *why) {
  if (why != NULL) (void)snprintf(why, OBS_NATS_WHY_MAX, "this program was built without NATS (libnats-dev)");
  return OBSERVER_E_INVALID;
}

bool obs_nats_is_built_in(void) {
  return false;
}

observer_err obs_nats_open(const obs_nats_opts *opts, obs_nats **out, char *why) {
  (void)opts;
  *out = NULL;
  return absent(why);
}

void obs_nats_close(obs_nats *n) {
  (void)n;
}

bool obs_nats_is_connected(obs_nats *n) {
  (void)n;
  return false;
}

bool obs_nats_is_closed(obs_nats *n) {
  (void)n;
  return true;
}

bool obs_nats_wait(obs_nats *n, uint32_t timeout_ms) {
  (void)n;
  (void)timeout_ms;
  return false;
}

observer_err obs_nats_get_server(obs_nats *n, obs_nats_server *out) {
  (void)n;
  (void)out;
  return absent(NULL);
}

observer_err obs_nats_stream_ensure(obs_nats *n, const char *name, const char *const *subjects, size_t nsubjects,
                                    uint32_t replicas, uint64_t max_bytes, obs_nats_stream *out, char *why) {
  (void)n;
  (void)name;
  (void)subjects;
  (void)nsubjects;
  (void)replicas;
  (void)max_bytes;
  (void)out;
  return absent(why);
}

observer_err obs_nats_stream_look(obs_nats *n, const char *name, obs_nats_stream *out, char *why) {
  (void)n;
  (void)name;
  (void)out;
  return absent(why);
}

observer_err obs_nats_stream_get(obs_nats *n, const char *name, uint64_t seq, obs_buf *data, char *why) {
  (void)n;
  (void)name;
  (void)seq;
  (void)data;
  return absent(why);
}

observer_err obs_nats_stream_last(obs_nats *n, const char *name, const char *subject, uint64_t *seq, obs_buf *data,
                                  char *why) {
  (void)n;
  (void)name;
  (void)subject;
  (void)seq;
  (void)data;
  return absent(why);
}

observer_err obs_nats_publish(obs_nats *n, const char *subject, const char *msg_id, const void *data, size_t len,
                              uint32_t timeout_ms, obs_nats_published done, void *arg, char *why) {
  (void)n;
  (void)subject;
  (void)msg_id;
  (void)data;
  (void)len;
  (void)timeout_ms;
  (void)done;
  (void)arg;
  return absent(why);
}

observer_err obs_nats_send(obs_nats *n, const char *subject, const char *reply, const void *data, size_t len) {
  (void)n;
  (void)subject;
  (void)reply;
  (void)data;
  (void)len;
  return absent(NULL);
}

observer_err obs_nats_request(obs_nats *n, const char *subject, const void *data, size_t len, uint32_t timeout_ms,
                              obs_buf *answer, char *why) {
  (void)n;
  (void)subject;
  (void)data;
  (void)len;
  (void)timeout_ms;
  (void)answer;
  return absent(why);
}

observer_err obs_nats_listen(obs_nats *n, const char *subject, obs_nats_heard heard, void *arg, obs_nats_listener **out,
                             char *why) {
  (void)n;
  (void)subject;
  (void)heard;
  (void)arg;
  *out = NULL;
  return absent(why);
}

void obs_nats_listener_close(obs_nats_listener *l) {
  (void)l;
}

observer_err obs_nats_kv_open(obs_nats *n, const char *bucket, uint32_t replicas, uint64_t ttl_ms, obs_nats_kv **out,
                              char *why) {
  (void)n;
  (void)bucket;
  (void)replicas;
  (void)ttl_ms;
  *out = NULL;
  return absent(why);
}

void obs_nats_kv_close(obs_nats_kv *kv) {
  (void)kv;
}

observer_err obs_nats_kv_get(obs_nats_kv *kv, const char *key, obs_buf *value, uint64_t *revision, char *why) {
  (void)kv;
  (void)key;
  (void)value;
  (void)revision;
  return absent(why);
}

observer_err obs_nats_kv_create(obs_nats_kv *kv, const char *key, const void *value, size_t len, uint64_t *revision,
                                char *why) {
  (void)kv;
  (void)key;
  (void)value;
  (void)len;
  (void)revision;
  return absent(why);
}

observer_err obs_nats_kv_update(obs_nats_kv *kv, const char *key, const void *value, size_t len, uint64_t expected,
                                uint64_t *revision, char *why) {
  (void)expected;
  return obs_nats_kv_create(kv, key, value, len, revision, why);
}

observer_err obs_nats_kv_put(obs_nats_kv *kv, const char *key, const void *value, size_t len, uint64_t *revision,
                             char *why) {
  return obs_nats_kv_create(kv, key, value, len, revision, why);
}

observer_err obs_nats_kv_delete(obs_nats_kv *kv, const char *key, char *why) {
  (void)kv;
  (void)key;
  return absent(why);
}

observer_err obs_nats_kv_keys(obs_nats_kv *kv, const char *prefix, void (*fn)(void *arg, const char *key), void *arg,
                              char *why) {
  (void)kv;
  (void)prefix;
  (void)fn;
  (void)arg;
  return absent(why);
}

observer_err obs_nats_pull_open(obs_nats *n, const char *stream, const char *filter, uint64_t start_seq,
                                obs_nats_pull **out, char *why) {
  (void)n;
  (void)stream;
  (void)filter;
  (void)start_seq;
  *out = NULL;
  return absent(why);
}

observer_err obs_nats_pull_fetch(obs_nats_pull *p, uint32_t max_msgs, uint64_t max_bytes, uint32_t timeout_ms,
                                 bool (*fn)(void *arg, const obs_nats_message *m), void *arg, char *why) {
  (void)p;
  (void)max_msgs;
  (void)max_bytes;
  (void)timeout_ms;
  (void)fn;
  (void)arg;
  return absent(why);
}

void obs_nats_pull_close(obs_nats_pull *p) {
  (void)p;
}

observer_err obs_nats_queue_ensure(obs_nats *n, const char *name, const char *const *subjects, size_t nsubjects,
                                   uint32_t replicas, uint64_t max_bytes, obs_nats_stream *out, char *why) {
  return obs_nats_stream_ensure(n, name, subjects, nsubjects, replicas, max_bytes, out, why);
}

observer_err obs_nats_publish_headers(obs_nats *n, const char *subject, const char *msg_id,
                                      const obs_nats_header *headers, size_t nheaders, const void *data, size_t len,
                                      uint32_t timeout_ms, obs_nats_published done, void *arg, char *why) {
  (void)headers;
  (void)nheaders;
  return obs_nats_publish(n, subject, msg_id, data, len, timeout_ms, done, arg, why);
}

uint64_t obs_nats_max_payload(obs_nats *n) {
  (void)n;
  return 0;
}

observer_err obs_nats_flush(obs_nats *n, uint32_t timeout_ms, char *why) {
  (void)n;
  (void)timeout_ms;
  return absent(why);
}

observer_err obs_nats_work_open(obs_nats *n, const char *stream, const char *name, uint32_t ack_wait_ms,
                                uint32_t max_pending, obs_nats_work **out, char *why) {
  (void)n;
  (void)stream;
  (void)name;
  (void)ack_wait_ms;
  (void)max_pending;
  *out = NULL;
  return absent(why);
}

observer_err obs_nats_work_fetch(obs_nats_work *w, uint32_t max_msgs, uint64_t max_bytes, uint32_t timeout_ms,
                                 void (*fn)(void *arg, const obs_nats_task *t), void *arg, char *why) {
  (void)w;
  (void)max_msgs;
  (void)max_bytes;
  (void)timeout_ms;
  (void)fn;
  (void)arg;
  return absent(why);
}

void obs_nats_work_return(obs_nats_work *w, uint32_t delay_ms) {
  (void)w;
  (void)delay_ms;
}

void obs_nats_work_close(obs_nats_work *w) {
  (void)w;
}

observer_err obs_nats_task_done(obs_nats *n, const char *reply) {
  (void)n;
  (void)reply;
  return absent(NULL);
}

observer_err obs_nats_task_return(obs_nats *n, const char *reply, uint32_t delay_ms) {
  (void)n;
  (void)reply;
  (void)delay_ms;
  return absent(NULL);
}
