/* Keys and values: a stream with one message a key, as every NATS client reads it. Values are asked of the stream's
 * leader, so that what was written is what is read, and a write says which revision it replaces.
 *
 * What nats-server 2.9 gets wrong is left alone as far as that goes: its servers each count the writes that were
 * refused, and lose that count when they are started again; and what was purged under one key they then take for a
 * purge of all keys. Either way their copies of the bucket come to differ. So a key that is made is asked for first,
 * and one is deleted by its message. */
#include "nats/internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { NAME_MAX_BYTES = 64, SUBJECT_MAX_BYTES = 256, DUPLICATES_S = 120 };
#define NS_PER_MS INT64_C(1000000)

struct obs_nats_kv {
  obs_nats *n;
  char stream[NAME_MAX_BYTES + 4];  /* KV_<bucket> */
  char subject[NAME_MAX_BYTES + 8]; /* $KV.<bucket>. */
};

static observer_err make_bucket(obs_nats_kv *kv, uint32_t replicas, uint64_t ttl_ms, char *why) {
  jsStreamConfig config;
  int64_t duplicates = DUPLICATES_S * INT64_C(1000) * NS_PER_MS;
  char all[NAME_MAX_BYTES + 12];
  const char *subjects[] = {all};
  (void)snprintf(all, sizeof(all), "%s>", kv->subject);
  (void)jsStreamConfig_Init(&config);
  config.Name = kv->stream;
  config.Subjects = subjects;
  config.SubjectsLen = 1;
  config.Storage = js_FileStorage;
  config.Discard = js_DiscardNew;
  config.MaxMsgsPerSubject = 1;
  config.Replicas = replicas;
  config.AllowRollup = true;
  config.AllowDirect = true;
  config.MaxAge = (int64_t)ttl_ms * NS_PER_MS;
  config.Duplicates = ttl_ms > 0 && config.MaxAge < duplicates ? config.MaxAge : duplicates;
  return obs_nats_stream_make(kv->n, &config, why);
}

observer_err obs_nats_kv_open(obs_nats *n, const char *bucket, uint32_t replicas, uint64_t ttl_ms, obs_nats_kv **out,
                              char *why) {
  obs_nats_stream stream;
  *out = NULL;
  if (strlen(bucket) > NAME_MAX_BYTES) {
    obs_nats_say(why, "%.80s: too long for a bucket's name", bucket);
    return OBSERVER_E_INVALID;
  }
  obs_nats_kv *kv = calloc(1, sizeof(*kv));
  if (kv == NULL) return OBSERVER_E_NOMEM;
  kv->n = n;
  (void)snprintf(kv->stream, sizeof(kv->stream), "KV_%s", bucket);
  (void)snprintf(kv->subject, sizeof(kv->subject), "$KV.%s.", bucket);
  observer_err err = obs_nats_stream_look(n, kv->stream, &stream, why);
  if (err == OBSERVER_E_NOTFOUND) err = make_bucket(kv, replicas, ttl_ms, why);
  if (err != OBSERVER_E_OK) {
    obs_nats_kv_close(kv);
    return err;
  }
  *out = kv;
  return OBSERVER_E_OK;
}

void obs_nats_kv_close(obs_nats_kv *kv) {
  free(kv);
}

static observer_err name_subject(const obs_nats_kv *kv, const char *key, char out[SUBJECT_MAX_BYTES], char *why) {
  int n = snprintf(out, SUBJECT_MAX_BYTES, "%s%s", kv->subject, key);
  if (*key != '\0' && n > 0 && n < SUBJECT_MAX_BYTES && strpbrk(key, " *>\t\r\n") == NULL) return OBSERVER_E_OK;
  obs_nats_say(why, "%.80s: cannot be a key", key);
  return OBSERVER_E_INVALID;
}

static bool is_deleted(natsMsg *msg) {
  const char *operation = NULL;
  return natsMsgHeader_Get(msg, "KV-Operation", &operation) == NATS_OK && operation != NULL &&
         (strcmp(operation, "DEL") == 0 || strcmp(operation, "PURGE") == 0);
}

/* The key's last message, which may say that it was deleted. */
static observer_err find(const obs_nats_kv *kv, const char *key, natsMsg **msg, char *why) {
  char subject[SUBJECT_MAX_BYTES];
  jsErrCode code = 0;
  *msg = NULL;
  observer_err err = name_subject(kv, key, subject, why);
  if (err != OBSERVER_E_OK) return err;
  if (!obs_nats_is_connected(kv->n)) return OBSERVER_E_NET;
  return obs_nats_fail(js_GetLastMsg(msg, kv->n->js, kv->stream, subject, NULL, &code), code, key, why);
}

observer_err obs_nats_kv_get(obs_nats_kv *kv, const char *key, obs_buf *value, uint64_t *revision, char *why) {
  natsMsg *msg = NULL;
  observer_err err = find(kv, key, &msg, why);
  if (err == OBSERVER_E_OK && is_deleted(msg)) {
    obs_nats_say(why, "%s: deleted", key);
    err = OBSERVER_E_NOTFOUND;
  } else if (err == OBSERVER_E_OK) {
    obs_buf_append(value, natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg));
    if (revision != NULL) *revision = natsMsg_GetSequence(msg);
    if (value->oom) err = OBSERVER_E_NOMEM;
  }
  natsMsg_Destroy(msg);
  return err;
}

/* `expected`: the revision that it replaces, 0: there is none. NULL: whatever it is. */
static observer_err put(obs_nats_kv *kv, const char *key, const void *value, size_t len, const uint64_t *expected,
                        uint64_t *revision, char *why) {
  char subject[SUBJECT_MAX_BYTES];
  jsPubOptions options;
  jsPubAck *ack = NULL;
  jsErrCode code = 0;
  observer_err err = name_subject(kv, key, subject, why);
  if (err != OBSERVER_E_OK) return err;
  if (!obs_nats_is_connected(kv->n)) return OBSERVER_E_NET;
  (void)jsPubOptions_Init(&options);
  if (expected != NULL && *expected == 0)
    options.ExpectNoMessage = true;
  else if (expected != NULL)
    options.ExpectLastSubjectSeq = *expected;
  natsStatus s = js_Publish(&ack, kv->n->js, subject, value, (int)len, &options, &code);
  if (s == NATS_OK && revision != NULL) *revision = ack->Sequence;
  jsPubAck_Destroy(ack);
  return obs_nats_fail(s, code, key, why);
}

/* A key that another client has deleted leaves a message which is no value, but which must be replaced. */
observer_err obs_nats_kv_create(obs_nats_kv *kv, const char *key, const void *value, size_t len, uint64_t *revision,
                                char *why) {
  natsMsg *msg = NULL;
  observer_err err = find(kv, key, &msg, why);
  uint64_t expected = err == OBSERVER_E_OK ? natsMsg_GetSequence(msg) : 0;
  bool is_there = err == OBSERVER_E_OK && !is_deleted(msg);
  natsMsg_Destroy(msg);
  if (err != OBSERVER_E_OK && err != OBSERVER_E_NOTFOUND) return err;
  if (!is_there) return put(kv, key, value, len, &expected, revision, why);
  obs_nats_say(why, "%s: is there", key);
  return OBSERVER_E_LOCKED;
}

observer_err obs_nats_kv_update(obs_nats_kv *kv, const char *key, const void *value, size_t len, uint64_t expected,
                                uint64_t *revision, char *why) {
  return put(kv, key, value, len, &expected, revision, why);
}

observer_err obs_nats_kv_put(obs_nats_kv *kv, const char *key, const void *value, size_t len, uint64_t *revision,
                             char *why) {
  return put(kv, key, value, len, NULL, revision, why);
}

static observer_err purge(const obs_nats_kv *kv, const char *key, char *why) {
  char subject[SUBJECT_MAX_BYTES];
  jsOptions options;
  jsErrCode code = 0;
  observer_err err = name_subject(kv, key, subject, why);
  if (err != OBSERVER_E_OK) return err;
  (void)jsOptions_Init(&options);
  options.Stream.Purge.Subject = subject;
  return obs_nats_fail(js_PurgeStream(kv->n->js, kv->stream, &options, &code), code, key, why);
}

static observer_err find_seq(const obs_nats_kv *kv, const char *key, uint64_t *seq, char *why) {
  natsMsg *msg = NULL;
  observer_err err = find(kv, key, &msg, why);
  *seq = err == OBSERVER_E_OK ? natsMsg_GetSequence(msg) : 0;
  natsMsg_Destroy(msg);
  return err;
}

/* Its message is removed: a mark that it was deleted would stay for ever, and keys of checkpoints never come again. A
 * bucket that others have made, or an earlier version, refuses that, and is told to purge the key. */
observer_err obs_nats_kv_delete(obs_nats_kv *kv, const char *key, char *why) {
  uint64_t seq, left;
  jsErrCode code = 0;
  observer_err err = find_seq(kv, key, &seq, why);
  if (err == OBSERVER_E_OK) err = obs_nats_fail(js_DeleteMsg(kv->n->js, kv->stream, seq, NULL, &code), code, key, why);
  if (code == JSStreamMsgDeleteFailed || code == JSSequenceNotFoundErr) {
    err = find_seq(kv, key, &left, why);
    if (err == OBSERVER_E_OK && left == seq) err = purge(kv, key, why);
  }
  return err == OBSERVER_E_NOTFOUND ? OBSERVER_E_OK : err;
}

observer_err obs_nats_kv_keys(obs_nats_kv *kv, const char *prefix, void (*fn)(void *arg, const char *key), void *arg,
                              char *why) {
  char filter[NAME_MAX_BYTES + 12];
  size_t skip = strlen(kv->subject), len = strlen(prefix);
  jsOptions options;
  jsStreamInfo *info = NULL;
  jsErrCode code = 0;
  if (!obs_nats_is_connected(kv->n)) return OBSERVER_E_NET;
  (void)snprintf(filter, sizeof(filter), "%s>", kv->subject);
  (void)jsOptions_Init(&options);
  options.Stream.Info.SubjectsFilter = filter;
  natsStatus s = js_GetStreamInfo(&info, kv->n->js, kv->stream, &options, &code);
  for (int i = 0; s == NATS_OK && info->State.Subjects != NULL && i < info->State.Subjects->Count; i++) {
    const char *subject = info->State.Subjects->List[i].Subject;
    if (strlen(subject) > skip && strncmp(subject + skip, prefix, len) == 0) fn(arg, subject + skip);
  }
  jsStreamInfo_Destroy(info);
  return obs_nats_fail(s, code, kv->stream, why);
}
