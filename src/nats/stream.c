/* Streams: made, looked at, single messages. */
#include "base/hex.h"
#include "nats/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

enum { DUPLICATES_S = 120 };
#define NS_PER_S INT64_C(1000000000)
static const char described[] = "made by observerd, id ";

static uint64_t id_of(const jsStreamInfo *info) {
  const char *text = info->Config->Description;
  uint64_t id;
  bool ours = text != NULL && strncmp(text, described, sizeof(described) - 1) == 0 &&
              obs_hex_parse(obs_str_of(text + sizeof(described) - 1), &id);
  return ours ? id : (uint64_t)info->Created;
}

static void fill(const jsStreamInfo *info, obs_nats_stream *out) {
  if (out == NULL) return;
  *out = (obs_nats_stream){.id = id_of(info),
                           .created_ns = info->Created,
                           .first_seq = info->State.FirstSeq,
                           .last_seq = info->State.LastSeq,
                           .messages = info->State.Msgs,
                           .bytes = info->State.Bytes,
                           .replicas = info->Config->Replicas > 0 ? (uint32_t)info->Config->Replicas : 1,
                           .discards_old = info->Config->Discard == js_DiscardOld && info->Config->MaxBytes > 0};
}

observer_err obs_nats_stream_look(obs_nats *n, const char *name, obs_nats_stream *out, char *why) {
  jsStreamInfo *info = NULL;
  jsErrCode code = 0;
  observer_err err = obs_nats_check_connected(n, why);
  if (err != OBSERVER_E_OK) return err;
  natsStatus s = js_GetStreamInfo(&info, n->js, name, NULL, &code);
  if (s == NATS_OK) fill(info, out);
  jsStreamInfo_Destroy(info);
  return obs_nats_fail(s, code, name, why);
}

observer_err obs_nats_stream_make(obs_nats *n, jsStreamConfig *config, char *why) {
  enum { NAP_MS = 50, NAPS = 40 };
  char description[64];
  uint64_t id;
  jsErrCode code = 0;
  if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id)) {
    obs_nats_say(why, "%s: no random number for its id", config->Name);
    return OBSERVER_E_IO;
  }
  (void)snprintf(description, sizeof(description), "%s%016" PRIx64, described, id);
  config->Description = description;
  natsStatus s = js_AddStream(NULL, n->js, config, NULL, &code);
  observer_err err = obs_nats_fail(s, code, config->Name, why);
  config->Description = NULL;
  /* Of two who ask a cluster of servers at once, one is refused before the other's is there, or has no answer. */
  if (code != JSStreamNameExistErr && err != OBSERVER_E_TIMEDOUT) return err;
  observer_err found = obs_nats_stream_look(n, config->Name, NULL, why);
  for (int i = 0; i < NAPS && found == OBSERVER_E_NOTFOUND; i++) {
    nats_Sleep(NAP_MS);
    found = obs_nats_stream_look(n, config->Name, NULL, why);
  }
  return found == OBSERVER_E_NOTFOUND ? OBSERVER_E_NET : found;
}

/* Whether an existing stream takes each of the subjects, as they are written. */
static observer_err check_subjects(obs_nats *n, const char *name, const char *const *subjects, size_t nsubjects,
                                   obs_nats_stream *out, char *why) {
  jsStreamInfo *info = NULL;
  jsErrCode code = 0;
  natsStatus s = js_GetStreamInfo(&info, n->js, name, NULL, &code);
  observer_err err = obs_nats_fail(s, code, name, why);
  for (size_t i = 0; i < nsubjects && err == OBSERVER_E_OK; i++) {
    bool found = false;
    for (int k = 0; k < info->Config->SubjectsLen; k++)
      found = found || strcmp(info->Config->Subjects[k], subjects[i]) == 0;
    if (found) continue;
    obs_nats_say(why, "the stream %s exists and does not take %s", name, subjects[i]);
    err = OBSERVER_E_INVALID;
  }
  if (err == OBSERVER_E_OK) fill(info, out);
  jsStreamInfo_Destroy(info);
  return err;
}

static observer_err ensure(obs_nats *n, const char *name, jsRetentionPolicy retention, const char *const *subjects,
                           size_t nsubjects, uint32_t replicas, uint64_t max_bytes, obs_nats_stream *out, char *why) {
  jsStreamConfig config;
  observer_err err = obs_nats_stream_look(n, name, NULL, why);
  if (err == OBSERVER_E_OK) return check_subjects(n, name, subjects, nsubjects, out, why);
  if (err != OBSERVER_E_NOTFOUND) return err;
  (void)jsStreamConfig_Init(&config);
  config.Name = name;
  config.Subjects = (const char **)(uintptr_t)subjects; /* only read */
  config.SubjectsLen = (int)nsubjects;
  config.Retention = retention;
  config.Storage = js_FileStorage;
  config.Discard = js_DiscardNew;
  config.Replicas = replicas;
  config.MaxBytes = max_bytes > 0 ? (int64_t)max_bytes : -1;
  config.Duplicates = DUPLICATES_S * NS_PER_S;
  err = obs_nats_stream_make(n, &config, why);
  return err == OBSERVER_E_OK ? check_subjects(n, name, subjects, nsubjects, out, why) : err;
}

observer_err obs_nats_stream_ensure(obs_nats *n, const char *name, const char *const *subjects, size_t nsubjects,
                                    uint32_t replicas, uint64_t max_bytes, obs_nats_stream *out, char *why) {
  return ensure(n, name, js_LimitsPolicy, subjects, nsubjects, replicas, max_bytes, out, why);
}

observer_err obs_nats_queue_ensure(obs_nats *n, const char *name, const char *const *subjects, size_t nsubjects,
                                   uint32_t replicas, uint64_t max_bytes, obs_nats_stream *out, char *why) {
  return ensure(n, name, js_WorkQueuePolicy, subjects, nsubjects, replicas, max_bytes, out, why);
}

static observer_err take(obs_nats *n, natsStatus s, jsErrCode code, natsMsg *msg, const char *what, uint64_t *seq,
                         obs_buf *data, char *why) {
  (void)n;
  if (s == NATS_OK) {
    obs_buf_append(data, natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg));
    if (seq != NULL) *seq = natsMsg_GetSequence(msg);
  }
  natsMsg_Destroy(msg);
  observer_err err = obs_nats_fail(s, code, what, why);
  return err == OBSERVER_E_OK && data->oom ? OBSERVER_E_NOMEM : err;
}

observer_err obs_nats_stream_get(obs_nats *n, const char *name, uint64_t seq, obs_buf *data, char *why) {
  natsMsg *msg = NULL;
  jsErrCode code = 0;
  if (!obs_nats_is_connected(n)) return OBSERVER_E_NET;
  natsStatus s = js_GetMsg(&msg, n->js, name, seq, NULL, &code);
  return take(n, s, code, msg, name, NULL, data, why);
}

observer_err obs_nats_stream_last(obs_nats *n, const char *name, const char *subject, uint64_t *seq, obs_buf *data,
                                  char *why) {
  natsMsg *msg = NULL;
  jsErrCode code = 0;
  if (!obs_nats_is_connected(n)) return OBSERVER_E_NET;
  natsStatus s = js_GetLastMsg(&msg, n->js, name, subject, NULL, &code);
  return take(n, s, code, msg, subject, seq, data, why);
}
