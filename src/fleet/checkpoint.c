#include "fleet/checkpoint.h"

#include "base/json.h"
#include "base/log.h"
#include "base/row.h"
#include "base/vec.h"
#include "jsonl/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

static const char magic[8] = {'O', 'B', 'S', 'P', 'C', 'P', '1', '\n'};
enum { HEAD = sizeof magic + 2 * 4 + 4 * 8, SUM = 8, NAME = 64, VERSION = 1, KEY = OBS_CHECKPOINT_ID + 32 };

uint64_t obs_checkpoint_tail(const void *message, size_t len) {
  return XXH64(message, len, 0);
}

obs_checkpoint_agreement obs_checkpoint_agrees(obs_nats *nats, const char *stream, uint64_t seq, uint64_t tail) {
  obs_nats_stream is;
  obs_buf message = {0};
  if (seq == 0) return OBS_CHECKPOINT_SAME;
  observer_err err = obs_nats_stream_get(nats, stream, seq, &message, NULL);
  obs_checkpoint_agreement agrees = OBS_CHECKPOINT_UNKNOWN;
  if (err == OBSERVER_E_OK)
    agrees =
        obs_checkpoint_tail(obs_buf_view(&message).p, message.len) == tail ? OBS_CHECKPOINT_SAME : OBS_CHECKPOINT_OTHER;
  else if (err == OBSERVER_E_NOTFOUND && obs_nats_stream_look(nats, stream, &is, NULL) == OBSERVER_E_OK)
    agrees = is.last_seq < seq ? OBS_CHECKPOINT_OTHER : OBS_CHECKPOINT_SAME;
  obs_buf_fini(&message);
  return agrees;
}

/* ---- on disk ---- */

static void put_number(obs_buf *out, uint64_t v, int bytes) {
  for (int i = 0; i < bytes; i++) obs_buf_putc(out, (char)(v >> 8 * i));
}

static uint64_t take_number(const char **p, int bytes) {
  uint64_t v = 0;
  for (int i = 0; i < bytes; i++) v |= (uint64_t)(uint8_t) * (*p)++ << 8 * i;
  return v;
}

typedef OBS_VEC(uint64_t) seq_list;

static int newest_first(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x > y ? -1 : x < y;
}

/* Seqs of the partition's files, the newest first. */
static observer_err list(int dir_fd, uint32_t p, seq_list *out) {
  int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
  if (dir == NULL) {
    observer_err err = obs_file_err(errno);
    if (fd >= 0) (void)close(fd);
    return err;
  }
  observer_err err = OBSERVER_E_OK;
  const struct dirent *e;
  while (err == OBSERVER_E_OK && (e = readdir(dir)) != NULL) {
    uint32_t of;
    uint64_t seq;
    int end = 0;
    if (sscanf(e->d_name, "%" SCNu32 "-%20" SCNu64 "%n", &of, &seq, &end) != 2 || e->d_name[end] != '\0' || of != p)
      continue;
    uint64_t *place = OBS_VEC_PUSH(out);
    if (place == NULL)
      err = OBSERVER_E_NOMEM;
    else
      *place = seq;
  }
  (void)closedir(dir);
  if (out->at != NULL) qsort(out->at, out->n, sizeof *out->at, newest_first);
  return err;
}

static void name_file(uint32_t p, uint64_t seq, char out[NAME]) {
  (void)snprintf(out, NAME, "%" PRIu32 "-%020" PRIu64, p, seq);
}

static void remove_file(int dir_fd, uint32_t p, uint64_t seq) {
  char name[NAME];
  name_file(p, seq, name);
  if (unlinkat(dir_fd, name, 0) != 0 && errno != ENOENT)
    obs_log_warn("fleet", "checkpoint %s: cannot be removed: %s", name, strerror(errno));
}

observer_err obs_checkpoint_write(int dir_fd, const obs_checkpoint_mark *mark, const void *bytes, size_t len) {
  obs_buf file = {0};
  char name[NAME];
  seq_list seqs = {0};
  (void)obs_buf_reserve(&file, HEAD + len + SUM);
  obs_buf_append(&file, magic, sizeof magic);
  put_number(&file, mark->partitions, 4);
  put_number(&file, mark->p, 4);
  put_number(&file, mark->stream_id, 8);
  put_number(&file, mark->stream_seq, 8);
  put_number(&file, mark->tail, 8);
  put_number(&file, len, 8);
  obs_buf_append(&file, bytes, len);
  if (!file.oom) put_number(&file, XXH64(file.p, file.len, 0), 8);
  observer_err err = file.oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
  name_file(mark->p, mark->stream_seq, name);
  if (err == OBSERVER_E_OK && !obs_file_replace(dir_fd, name, &file, true)) err = obs_file_err(errno);
  int errnum = errno;
  if (err == OBSERVER_E_OK && list(dir_fd, mark->p, &seqs) == OBSERVER_E_OK) {
    for (uint32_t i = OBS_CHECKPOINT_KEPT; i < seqs.n; i++) remove_file(dir_fd, mark->p, seqs.at[i]);
  }
  OBS_VEC_FINI(&seqs);
  obs_buf_fini(&file);
  errno = errnum;
  return err;
}

/* The file without its head and sum; CORRUPT: it is not one of this partition and stream, or not whole. */
static observer_err read_file(int dir_fd, uint64_t seq, obs_checkpoint_mark *mark, obs_buf *bytes) {
  char name[NAME];
  name_file(mark->p, seq, name);
  obs_buf_reset(bytes, SIZE_MAX);
  observer_err err = obs_file_read_all(dir_fd, name, (size_t)OBS_CHECKPOINT_MAX + HEAD + SUM, bytes);
  if (err != OBSERVER_E_OK) return err;
  const char *p = bytes->p;
  if (bytes->len < HEAD + SUM || memcmp(p, magic, sizeof magic) != 0) return OBSERVER_E_CORRUPT;
  const char *sum = p + bytes->len - SUM;
  if (take_number(&sum, 8) != XXH64(p, bytes->len - SUM, 0)) return OBSERVER_E_CORRUPT;
  p += sizeof magic;
  bool same = take_number(&p, 4) == mark->partitions;
  same &= take_number(&p, 4) == mark->p;
  same &= take_number(&p, 8) == mark->stream_id;
  mark->stream_seq = take_number(&p, 8);
  mark->tail = take_number(&p, 8);
  uint64_t len = take_number(&p, 8);
  if (!same || mark->stream_seq != seq || len != bytes->len - HEAD - SUM) return OBSERVER_E_CORRUPT;
  memmove(bytes->p, bytes->p + HEAD, len);
  bytes->len = len;
  return OBSERVER_E_OK;
}

observer_err obs_checkpoint_read(int dir_fd, uint64_t below, obs_checkpoint_mark *mark, obs_buf *bytes) {
  seq_list seqs = {0};
  observer_err err = list(dir_fd, mark->p, &seqs);
  bool found = false;
  for (uint32_t i = 0; i < seqs.n && err == OBSERVER_E_OK && !found; i++) {
    if (seqs.at[i] >= below) continue;
    observer_err one = read_file(dir_fd, seqs.at[i], mark, bytes);
    found = one == OBSERVER_E_OK;
    if (one == OBSERVER_E_NOMEM) err = one;
    if (!found)
      obs_log_warn("fleet", "partition %" PRIu32 ": the checkpoint at %" PRIu64 " is passed over: %s", mark->p,
                   seqs.at[i], one == OBSERVER_E_CORRUPT ? "broken, or of another stream" : observer_strerror(one));
  }
  OBS_VEC_FINI(&seqs);
  return err != OBSERVER_E_OK || found ? err : OBSERVER_E_NOTFOUND;
}

void obs_checkpoint_drop(int dir_fd, uint32_t p, uint64_t below) {
  seq_list seqs = {0};
  if (list(dir_fd, p, &seqs) == OBSERVER_E_OK) {
    for (uint32_t i = 0; i < seqs.n; i++) {
      if (seqs.at[i] >= below) remove_file(dir_fd, p, seqs.at[i]);
    }
  }
  OBS_VEC_FINI(&seqs);
}

/* ---- the value of a lease ---- */

/* Numbers of 64 bits are texts: JSON's readers have 53. */
static void put_u64(obs_json_writer *w, const char *name, uint64_t v) {
  char text[24];
  (void)snprintf(text, sizeof text, "%" PRIu64, v);
  obs_json_cstr(w, name, text);
}

static bool take_u64(const cJSON *row, const char *name, uint64_t *out) {
  obs_str s = obs_row_text(row, name);
  char text[24], *end;
  if (s.p == NULL || s.len == 0 || s.len >= sizeof text) return false;
  memcpy(text, s.p, s.len);
  text[s.len] = '\0';
  errno = 0;
  *out = strtoull(text, &end, 10);
  return errno == 0 && *end == '\0' && text[0] >= '0' && text[0] <= '9';
}

void obs_lease_value_write(const obs_lease_value *v, obs_buf *out) {
  obs_json_writer w = obs_json_write(out);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "v", VERSION);
  obs_json_id(&w, "worker", v->worker);
  obs_json_id(&w, "run", v->run);
  obs_json_array(&w, "checkpoints");
  for (int i = 0; i < 2 && v->last[i].id[0] != '\0'; i++) {
    const obs_checkpoint_kept *c = &v->last[i];
    obs_json_object(&w, NULL);
    obs_json_cstr(&w, "id", c->id);
    obs_json_u64(&w, "bytes", c->bytes);
    obs_json_u64(&w, "chunks", c->chunks);
    obs_json_id(&w, "hash", c->hash);
    put_u64(&w, "stream_seq", c->stream_seq);
    obs_json_id(&w, "tail", c->tail);
    obs_json_id(&w, "stream_id", c->stream_id);
    obs_json_i64(&w, "made_ms", c->made_ms);
    obs_json_end(&w);
  }
  obs_json_end(&w);
  obs_json_end(&w);
}

static bool read_kept(const cJSON *row, obs_checkpoint_kept *out) {
  obs_str id = obs_row_text(row, "id");
  uint64_t chunks;
  bool ok = id.p != NULL && id.len > 0 && id.len <= OBS_CHECKPOINT_ID && obs_row_u64(row, "bytes", &out->bytes) &&
            obs_row_u64(row, "chunks", &chunks) && obs_row_id(row, "hash", &out->hash) &&
            take_u64(row, "stream_seq", &out->stream_seq) && obs_row_id(row, "tail", &out->tail) &&
            obs_row_id(row, "stream_id", &out->stream_id) && obs_row_i64(row, "made_ms", &out->made_ms);
  if (!ok || out->bytes > OBS_CHECKPOINT_MAX ||
      chunks != (out->bytes + OBS_CHECKPOINT_CHUNK - 1) / OBS_CHECKPOINT_CHUNK)
    return false;
  for (uint32_t i = 0; i < id.len; i++) {
    if (strchr("0123456789abcdef-", id.p[i]) == NULL) return false; /* it becomes part of a key */
  }
  memcpy(out->id, id.p, id.len);
  out->chunks = (uint32_t)chunks;
  return true;
}

bool obs_lease_value_read(const void *data, size_t len, obs_lease_value *out) {
  uint64_t version;
  *out = (obs_lease_value){0};
  cJSON *row = cJSON_ParseWithLength(data, len);
  const cJSON *all = cJSON_GetObjectItemCaseSensitive(row, "checkpoints"), *one;
  bool ok = obs_row_u64(row, "v", &version) && version == VERSION && obs_row_id(row, "worker", &out->worker) &&
            obs_row_id(row, "run", &out->run);
  int n = 0;
  cJSON_ArrayForEach(one, all) {
    if (n < 2) ok &= read_kept(one, &out->last[n++]);
  }
  cJSON_Delete(row);
  return ok;
}

/* ---- in the bucket ---- */

static void name_chunk(uint32_t p, const char *id, uint32_t k, char out[KEY]) {
  (void)snprintf(out, KEY, "%" PRIu32 ".%s.%" PRIu32, p, id, k);
}

observer_err obs_checkpoint_put(obs_nats_kv *kv, const obs_checkpoint_mark *mark, const char *id, int64_t made_ms,
                                const void *bytes, size_t len, obs_checkpoint_kept *out, char *why) {
  *out = (obs_checkpoint_kept){.bytes = len,
                               .stream_seq = mark->stream_seq,
                               .tail = mark->tail,
                               .hash = XXH64(bytes, len, 0),
                               .stream_id = mark->stream_id,
                               .made_ms = made_ms};
  (void)snprintf(out->id, sizeof out->id, "%s", id);
  if (len > OBS_CHECKPOINT_MAX) {
    if (why != NULL) (void)snprintf(why, OBS_NATS_WHY_MAX, "a checkpoint of %zu bytes is too large", len);
    return OBSERVER_E_INVALID;
  }
  for (size_t at = 0; at < len; at += OBS_CHECKPOINT_CHUNK) {
    char key[KEY];
    size_t n = len - at < OBS_CHECKPOINT_CHUNK ? len - at : OBS_CHECKPOINT_CHUNK;
    name_chunk(mark->p, id, out->chunks, key);
    observer_err err = obs_nats_kv_put(kv, key, (const char *)bytes + at, n, NULL, why);
    if (err != OBSERVER_E_OK) {
      obs_checkpoint_remove(kv, mark->p, out);
      return err;
    }
    out->chunks++;
  }
  return OBSERVER_E_OK;
}

observer_err obs_checkpoint_get(obs_nats_kv *kv, uint32_t p, const obs_checkpoint_kept *kept, obs_buf *bytes,
                                char *why) {
  obs_buf_reset(bytes, SIZE_MAX);
  for (uint32_t k = 0; k < kept->chunks; k++) {
    char key[KEY];
    name_chunk(p, kept->id, k, key);
    observer_err err = obs_nats_kv_get(kv, key, bytes, NULL, why);
    if (err == OBSERVER_E_NOTFOUND) return OBSERVER_E_CORRUPT;
    if (err != OBSERVER_E_OK) return err;
    if (bytes->len > kept->bytes) break;
  }
  if (bytes->len == kept->bytes && XXH64(obs_buf_view(bytes).p, bytes->len, 0) == kept->hash) return OBSERVER_E_OK;
  if (why != NULL) (void)snprintf(why, OBS_NATS_WHY_MAX, "checkpoint %s: not what was written", kept->id);
  return OBSERVER_E_CORRUPT;
}

void obs_checkpoint_remove(obs_nats_kv *kv, uint32_t p, const obs_checkpoint_kept *kept) {
  for (uint32_t k = 0; k < kept->chunks; k++) {
    char key[KEY];
    name_chunk(p, kept->id, k, key);
    (void)obs_nats_kv_delete(kv, key, NULL); /* what is left is swept by who takes the partition next */
  }
}

typedef struct {
  const obs_lease_value *value;
  uint32_t p;
  obs_buf keys; /* those that nobody knows, each with its NUL */
} sweep;

static void look_at_key(void *arg, const char *key) {
  sweep *s = arg;
  for (int i = 0; i < 2; i++) {
    char own[KEY];
    int n = snprintf(own, sizeof own, "%" PRIu32 ".%s.", s->p, s->value->last[i].id);
    if (s->value->last[i].id[0] != '\0' && strncmp(key, own, (size_t)n) == 0) return;
  }
  obs_buf_append(&s->keys, key, strlen(key) + 1);
}

void obs_checkpoint_sweep(obs_nats_kv *kv, uint32_t p, const obs_lease_value *value) {
  sweep s = {value, p, {0}};
  char prefix[16];
  (void)snprintf(prefix, sizeof prefix, "%" PRIu32 ".", p);
  if (obs_nats_kv_keys(kv, prefix, look_at_key, &s, NULL) == OBSERVER_E_OK && !s.keys.oom) {
    for (size_t at = 0; at < s.keys.len; at += strlen(s.keys.p + at) + 1)
      (void)obs_nats_kv_delete(kv, s.keys.p + at, NULL);
  }
  obs_buf_fini(&s.keys);
}
