
#include "base/clock.h"
#include "client/encode.h"
#include "client/internal.h"
#include "client/mp.h"

enum { MAP_HEAD = 3, DIGITS_MAX = 20, TOPIC_MAX = 64 * 1024 };

#define KEY(p, name) obs_mp_str(p, name, sizeof(name) - 1)

observer_err obs_client_refuse(observer_client *c, observer_err err) {
  pthread_mutex_lock(&c->lock);
  if (err == OBSERVER_E_INVALID)
    c->n.refused_invalid++;
  else
    c->n.refused_full++;
  pthread_mutex_unlock(&c->lock);
  return err;
}

observer_err obs_client_publish(observer_client *c, const obs_client_pairs *pairs, int32_t block_ms, void *tag) {
  static const obs_client_form ops = {0};
  bool timestamp = !pairs->has_timestamp, source = !pairs->has_source && c->o.source_len > 0;
  bool op_id = !pairs->has_op_id && c->o.mode == OBSERVER_ACKNOWLEDGED;
  size_t size = MAP_HEAD + pairs->size;
  if (timestamp) size += sizeof("timestamp") + OBS_MP_HEAD_MAX + OBS_ISO8601_LEN;
  if (source) size += sizeof("source") + OBS_MP_HEAD_MAX + c->o.source_len;
  if (op_id) size += sizeof("op_id") + OBS_MP_HEAD_MAX + c->prefix_len + DIGITS_MAX;
  if (size > OBS_CLIENT_OP_MAX) return obs_client_refuse(c, OBSERVER_E_INVALID);

  char *p;
  pthread_mutex_lock(&c->lock);
  observer_err err = obs_client_reserve(c, &ops, size, block_ms, &p);
  if (err == OBSERVER_E_OK) {
    p = pairs->write(obs_mp_map(p, pairs->n + timestamp + source + op_id), pairs->arg);
    if (timestamp) {
      int64_t now = obs_clock_wall_ms();
      if (now != c->stamp_ms) obs_clock_format(now, c->stamp); /* once a millisecond */
      c->stamp_ms = now;
      p = obs_mp_str(KEY(p, "timestamp"), c->stamp, OBS_ISO8601_LEN);
    }
    if (source) p = obs_mp_str(KEY(p, "source"), c->o.source, c->o.source_len);
    if (op_id) { /* `<producer>-<epoch>-<n>`, put together first because msgpack has the length in front */
      char id[OBS_CLIENT_PREFIX_MAX + DIGITS_MAX], digits[DIGITS_MAX];
      size_t at = sizeof(digits);
      for (uint64_t n = c->next_op++; n > 0 || at == sizeof(digits); n /= 10) digits[--at] = (char)('0' + n % 10);
      memcpy(id, c->prefix, c->prefix_len);
      memcpy(id + c->prefix_len, digits + at, sizeof(digits) - at);
      p = obs_mp_str(KEY(p, "op_id"), id, c->prefix_len + sizeof(digits) - at);
    }
    obs_client_commit(c, p, tag);
  }
  pthread_mutex_unlock(&c->lock);
  return err;
}

/* ---- an op ---- */

typedef struct {
  const observer_op *op;
  obs_client_measure measure;
} measured;

static char *write_op(char *p, const void *arg) {
  const measured *m = arg;
  return obs_client_op_write(p, m->op, &m->measure);
}

observer_err observer_publish_wait(observer_client *client, const observer_op *op, int32_t block_ms, void *tag) {
  measured m;
  if (client == NULL) return OBSERVER_E_INVALID;
  if (client->generation != obs_client_generation()) return OBSERVER_E_FORKED;
  if (op == NULL) return obs_client_refuse(client, OBSERVER_E_INVALID);
  m.op = op;
  obs_client_op_measure(op, &m.measure);
  if (!obs_client_op_valid(op, &m.measure)) return obs_client_refuse(client, OBSERVER_E_INVALID);
  obs_client_pairs pairs = {
      m.measure.n, m.measure.size, op->timestamp != NULL, op->source != NULL, op->op_id != NULL, write_op, &m};
  return obs_client_publish(client, &pairs, block_ms, tag);
}

observer_err observer_publish(observer_client *client, const observer_op *op) {
  return client != NULL ? observer_publish_wait(client, op, client->o.block_ms, NULL) : OBSERVER_E_INVALID;
}

/* ---- a message of another kind ---- */

/* What begins otherwise would be read as a topic. */
static bool is_payload_start(unsigned char b) {
  return (b >= 0x80 && b <= 0x9f) || (b >= 0xdc && b <= 0xdf) || b == '{' || b == '[';
}

static bool topic_valid(const char *topic) {
  return topic == NULL || (topic[0] != '\0' && strlen(topic) < TOPIC_MAX && !is_payload_start((unsigned char)topic[0]));
}

/* Queues `topic`, its NUL and the payload as one message. */
static observer_err publish_message(observer_client *c, const char *topic, const void *payload, size_t len, bool whole,
                                    int32_t block_ms, void *tag) {
  size_t name_size = topic != NULL ? strlen(topic) + 1 : 0;
  /* One that holds its topic itself, or that is no op's, stays as it is. */
  bool ops = whole && (topic != NULL || is_payload_start(*(const unsigned char *)payload));
  size_t n = ops ? obs_client_topic_size(topic, name_size, len) : name_size;
  obs_client_packet *p = obs_client_packet_new(n + len, c->o.on_delivery != NULL);
  if (p == NULL) return obs_client_refuse(c, OBSERVER_E_NOMEM);
  obs_client_topic_write(p, topic, name_size, n);
  memcpy(p->body + n, payload, len);
  p->len = n + len;
  p->raw = true;
  p->whole = whole;
  if (p->ntags > 0) p->tags[0] = tag;
  pthread_mutex_lock(&c->lock);
  observer_err err = obs_client_push_packet(c, p, block_ms);
  pthread_mutex_unlock(&c->lock);
  if (err != OBSERVER_E_OK) obs_client_packet_free(p);
  return err;
}

observer_err observer_publish_message(observer_client *client, const char *topic, const void *payload, size_t len,
                                      int32_t block_ms, void *tag) {
  if (client == NULL) return OBSERVER_E_INVALID;
  if (client->generation != obs_client_generation()) return OBSERVER_E_FORKED;
  if (payload == NULL || len == 0 || len > OBS_CLIENT_MESSAGE_MAX || !topic_valid(topic) ||
      (topic == NULL && !is_payload_start(*(const unsigned char *)payload)))
    return obs_client_refuse(client, OBSERVER_E_INVALID);
  return publish_message(client, topic, payload, len, false, block_ms, tag);
}

/* ---- a finished record ---- */

observer_err observer_publish_encoded(observer_client *client, const observer_encoded *record, int32_t block_ms,
                                      void *tag) {
  observer_client *c = client;
  if (c == NULL) return OBSERVER_E_INVALID;
  if (c->generation != obs_client_generation()) return OBSERVER_E_FORKED;
  if (record == NULL) return obs_client_refuse(c, OBSERVER_E_INVALID);
  const char *bytes = record->bytes;
  size_t len = record->len;
  if (bytes == NULL || len == 0 || len > OBS_CLIENT_MESSAGE_MAX || !topic_valid(record->topic))
    return obs_client_refuse(c, OBSERVER_E_INVALID);
  if (record->whole) return publish_message(c, record->topic, bytes, len, true, block_ms, tag);
  obs_client_form form = {.topic = record->topic, .json = bytes[0] == '{'};
  /* Broken msgpack would take the other records of its message with it; of JSON the daemon tells where it breaks. */
  unsigned char first = (unsigned char)bytes[0];
  bool is_map = (first >= 0x80 && first <= 0x8f) || first == 0xde || first == 0xdf;
  if (!form.json && (!is_map || !obs_client_msgpack_valid(bytes, len, OBS_CLIENT_RECORD_DEPTH_MAX)))
    return obs_client_refuse(c, OBSERVER_E_INVALID);
  form.topic_size = form.topic != NULL ? (uint32_t)strlen(form.topic) + 1 : 0;
  char *p;
  pthread_mutex_lock(&c->lock);
  observer_err err = obs_client_reserve(c, &form, len + form.json, block_ms, &p);
  if (err == OBSERVER_E_OK) {
    memcpy(p, bytes, len);
    if (form.json) p[len] = '\n';
    obs_client_commit(c, p + len + form.json, tag);
  }
  pthread_mutex_unlock(&c->lock);
  return err;
}
