#include "op/batch.h"

#include "op/decoder.h"

#include <observer/session.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* SMALLEST: what a batch of one op allocates beyond its own bytes. */
enum { SMALLEST = 4096 };
enum { KEEP_OPS = 1024, KEEP_UNKNOWN = 4096, KEEP_REJECTS = 256, KEEP_SESSIONS = 256, KEEP_JSON = 1 << 20 };

const char *const obs_transport_names[OBS_TRANSPORT_COUNT] = {
#define OBS_TRANSPORT_NAME(name, text) text,
    OBS_TRANSPORT_MAP(OBS_TRANSPORT_NAME)
#undef OBS_TRANSPORT_NAME
};

observer_err obs_batch_init(obs_batch *b) {
  *b = (obs_batch){0};
  return OBSERVER_E_OK;
}

void obs_batch_fini(obs_batch *b) {
  free(b->ops);
  free(b->lines);
  free(b->own_clusters);
  free(b->sessions);
  free(b->unknown);
  free(b->rejects);
  obs_buf_fini(&b->json);
  obs_arena_fini(&b->arena);
  *b = (obs_batch){0};
}

static void shrink(void **items, uint32_t *cap, uint32_t keep) {
  if (*cap <= keep) return;
  free(*items);
  *items = NULL;
  *cap = 0;
}

void obs_batch_reset(obs_batch *b) {
  uint32_t lines_cap = b->ops_cap;
  shrink((void **)&b->lines, &lines_cap, KEEP_OPS);
  shrink((void **)&b->ops, &b->ops_cap, KEEP_OPS);
  shrink((void **)&b->unknown, &b->unknown_cap, KEEP_UNKNOWN);
  shrink((void **)&b->rejects, &b->rejects_cap, KEEP_REJECTS);
  shrink((void **)&b->sessions, &b->sessions_cap, KEEP_SESSIONS);
  shrink((void **)&b->own_clusters, &b->clusters_cap, KEEP_OPS);
  b->clusters = NULL;
  obs_buf_reset(&b->json, KEEP_JSON);
  obs_arena_reset(&b->arena);
  b->data = NULL;
  b->size = 0;
  b->topic = (obs_str){0};
  b->single = b->msgpack = false;
  b->session = NULL;
  b->sessions_only = false;
  b->nops = b->nsessions = b->nunknown = b->nrejects = 0;
  b->error = OBSERVER_E_OK;
  b->error_text[0] = '\0';
  b->recorded = b->recorded_ops = b->duplicates = b->ring_size = 0;
  b->last_seq = 0;
  b->next = NULL;
}

size_t obs_batch_bytes(const obs_batch *b) {
  return SMALLEST + sizeof(*b) + b->size + b->json.len + b->arena.bytes +
         (size_t)b->nops * (sizeof(*b->ops) + sizeof(*b->lines)) + (size_t)b->nunknown * sizeof(*b->unknown) +
         (size_t)b->nsessions * sizeof(*b->sessions) + (size_t)b->nrejects * sizeof(*b->rejects);
}

uint64_t *obs_batch_clusters(obs_batch *b) {
  if (b->clusters != NULL || b->nops == 0) return b->clusters;
  if (b->clusters_cap < b->nops) {
    uint64_t *p = reallocarray(b->own_clusters, b->nops, sizeof(*p));
    if (p == NULL) return NULL;
    b->own_clusters = p;
    b->clusters_cap = b->nops;
  }
  memset(b->own_clusters, 0, b->nops * sizeof(*b->own_clusters));
  return b->clusters = b->own_clusters;
}

void obs_batch_reject(obs_batch *b, uint32_t index, uint32_t offset, uint32_t length, const char *fmt, ...) {
  char text[256];
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(text, sizeof(text), fmt, ap);
  va_end(ap);
  size_t len = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
  if (b->nrejects == b->rejects_cap) {
    uint32_t cap = b->rejects_cap == 0 ? 16 : b->rejects_cap * 2;
    obs_batch_rejected *p = realloc(b->rejects, cap * sizeof(*p));
    if (p == NULL) return;
    b->rejects = p;
    b->rejects_cap = cap;
  }
  char *reason = obs_arena_alloc(&b->arena, len + 1);
  if (reason != NULL) {
    memcpy(reason, text, len);
    reason[len] = '\0';
  }
  b->rejects[b->nrejects++] = (obs_batch_rejected){index, offset, length, reason != NULL ? reason : "out of memory"};
}

static void reject(obs_decoder *d, const uint8_t *start, const uint8_t *end) {
  obs_batch_reject(d->b, d->index, (uint32_t)(start - d->base), (uint32_t)(end - start), "%s", d->reason);
}

/* The op stands: its line is written. */
static obs_decoder_result accept(obs_decoder *d) {
  obs_batch *b = d->b;
  size_t off = b->json.len;
  obs_op_encode(&b->json, d->op, d->op->unknown_count > 0 ? b->unknown + d->op->unknown_first : NULL);
  if (b->json.oom) return obs_decoder_wrong(d, OBS_STR("op"), "out of memory");
  b->lines[b->nops++] = (obs_batch_line){(uint32_t)off, (uint32_t)(b->json.len - off), d->index, false};
  return OBS_DECODE_OK;
}

/* What differs between the two formats. */
typedef struct {
  obs_decoder_result (*op)(obs_decoder *d);
  obs_decoder_result (*skip)(obs_decoder *d);
  bool (*is_session)(obs_decoder *d);
  obs_decoder_result (*record)(obs_decoder *d, obs_buf *buf, obs_str *json);
} reader;

static const reader json_reader = {obs_json_op, obs_json_skip, obs_json_is_session, obs_json_record};
static const reader msgpack_reader = {obs_msgpack_op, obs_msgpack_skip, obs_msgpack_is_session, obs_msgpack_record};

static bool session_place(obs_batch *b) {
  if (b->nsessions < b->sessions_cap) return true;
  uint32_t cap = b->sessions_cap == 0 ? 16 : b->sessions_cap * 2;
  obs_batch_line *p = realloc(b->sessions, cap * sizeof(*p));
  if (p == NULL) return false;
  b->sessions = p;
  b->sessions_cap = cap;
  return true;
}

/* The map at d->p as the row of a session record. */
static obs_decoder_result decode_session(obs_decoder *d, const reader *r) {
  obs_batch *b = d->b;
  obs_buf text = {0};
  obs_str json;
  const uint8_t *start = d->p;
  size_t off = b->json.len;
  obs_decoder_result rc = r->record(d, &text, &json);
  if (rc == OBS_DECODE_OK && (size_t)(d->p - start) > d->limits->op_bytes) {
    rc = obs_decoder_wrong_limit(d, OBS_STR("session"), "larger than %u bytes", d->limits->op_bytes);
  } else if (rc == OBS_DECODE_OK && (text.oom || !session_place(b))) {
    rc = obs_decoder_wrong(d, OBS_STR("session"), "out of memory");
  } else if (rc == OBS_DECODE_OK) {
    bool ok = b->session(json, d->limits, d->now_ms, &b->json, d->reason, sizeof(d->reason));
    if (ok)
      b->sessions[b->nsessions++] = (obs_batch_line){(uint32_t)off, (uint32_t)(b->json.len - off), d->index, false};
    else
      rc = OBS_DECODE_WRONG;
  }
  if (rc != OBS_DECODE_OK) b->json.len = off;
  obs_buf_fini(&text);
  return rc;
}

static obs_decoder_result decode_op(obs_decoder *d, const reader *r) {
  obs_decoder_result rc = obs_decoder_begin(d);
  if (rc == OBS_DECODE_OK) rc = r->op(d);
  return rc == OBS_DECODE_OK ? accept(d) : rc;
}

/* An op, or a session record: that is looked into only where a map has a `schema` or is no good as an op. */
static obs_decoder_result decode_map(obs_decoder *d, const reader *r) {
  const uint8_t *start = d->p;
  uint32_t unknown = d->b->nunknown;
  char reason[sizeof(d->reason)];
  if (d->b->sessions_only) return decode_session(d, r);
  d->look_for_schema = d->b->session != NULL;
  obs_decoder_result rc = decode_op(d, r);
  if (rc == OBS_DECODE_OK || rc == OBS_DECODE_BROKEN || !d->look_for_schema) return rc;
  memcpy(reason, d->reason, sizeof(reason));
  d->b->nunknown = unknown;
  d->p = start;
  bool session = r->is_session(d);
  d->p = start;
  if (session) return decode_session(d, r);
  d->look_for_schema = false;
  if (rc == OBS_DECODE_SCHEMA) return decode_op(d, r);
  memcpy(d->reason, reason, sizeof(reason));
  return rc;
}

/* One element at d->p. OK also when it was wrong and could be stepped over: then it is a reject. */
static obs_decoder_result decode_element(obs_decoder *d, const reader *r, bool is_map) {
  const uint8_t *start = d->p;
  uint32_t unknown = d->b->nunknown;
  if (d->index >= d->limits->message_ops) {
    snprintf(d->reason, sizeof(d->reason), "message: more than %u ops", d->limits->message_ops);
    return OBS_DECODE_BROKEN;
  }
  obs_str what = d->b->sessions_only ? OBS_STR("session") : OBS_STR("op");
  obs_decoder_result rc = is_map ? decode_map(d, r) : obs_decoder_wrong(d, what, "must be a map");
  if (rc == OBS_DECODE_WRONG) {
    char reason[sizeof(d->reason)];
    memcpy(reason, d->reason, sizeof(reason));
    d->b->nunknown = unknown;
    d->p = start;
    rc = r->skip(d);
    if (rc == OBS_DECODE_OK) {
      memcpy(d->reason, reason, sizeof(reason));
      reject(d, start, d->p);
    }
  }
  if (rc == OBS_DECODE_OK) d->index++;
  return rc;
}

static obs_decoder_result decode_msgpack_value(obs_decoder *d, bool *array) {
  uint32_t count;
  *array = obs_msgpack_is_array(d);
  if (!*array) return decode_element(d, &msgpack_reader, obs_msgpack_is_map(d));
  obs_decoder_result rc = obs_msgpack_array(d, &count);
  for (uint32_t i = 0; rc == OBS_DECODE_OK && i < count; i++) {
    if (d->p >= d->end) return obs_decoder_broken(d, "msgpack: truncated", d->end);
    rc = decode_element(d, &msgpack_reader, obs_msgpack_is_map(d));
  }
  return rc;
}

static obs_decoder_result json_element(obs_decoder *d) {
  obs_json_space(d);
  return decode_element(d, &json_reader, d->p < d->end && *d->p == '{');
}

static obs_decoder_result decode_json_value(obs_decoder *d, bool *array) {
  *array = *d->p == '[';
  if (!*array) return json_element(d);
  d->p++;
  obs_json_space(d);
  if (d->p < d->end && *d->p == ']') {
    d->p++;
    return OBS_DECODE_OK;
  }
  for (;;) {
    obs_decoder_result rc = json_element(d);
    if (rc != OBS_DECODE_OK) return rc;
    obs_json_space(d);
    if (d->p >= d->end) return obs_decoder_broken(d, "json: truncated", d->end);
    if (*d->p != ',' && *d->p != ']') return obs_decoder_broken(d, "json: unexpected character", d->p);
    if (*d->p++ == ']') return OBS_DECODE_OK;
  }
}

/* One op a line: behind a broken line the next one that starts an op is as good as ever. */
static bool next_line(obs_decoder *d) {
  const uint8_t *p = d->p > d->base ? d->p - 1 : d->p;
  while (d->end - p >= 2) {
    p = memchr(p, '\n', (size_t)(d->end - p) - 1);
    if (p == NULL) return false;
    p++;
    if (*p != '{') continue;
    d->p = p;
    return true;
  }
  return false;
}

static void decode_payload(obs_decoder *d, bool msgpack) {
  uint32_t values = 0;
  bool array = false;
  for (;; values++) {
    if (!msgpack) obs_json_space(d);
    if (d->p >= d->end) break;
    const uint8_t *start = d->p;
    obs_decoder_result rc = msgpack ? decode_msgpack_value(d, &array) : decode_json_value(d, &array);
    if (rc == OBS_DECODE_OK) continue;
    bool resume = !msgpack && !array && d->index < d->limits->message_ops && next_line(d);
    reject(d, start, resume ? d->p : d->end);
    d->index++;
    if (!resume) return;
  }
  d->b->single = values == 1 && !array;
  if (values == 0) obs_batch_reject(d->b, 0, 0, (uint32_t)d->b->size, "message: empty");
}

/* Whether a message begins with its payload: a msgpack map or array marker, or `{` or `[`. */
static bool starts_payload(uint8_t c) {
  return c == '{' || c == '[' || (c & 0xe0) == 0x80 || (c >= 0xdc && c <= 0xdf);
}

const uint8_t *obs_batch_payload(const uint8_t *data, size_t size, obs_str *topic) {
  if (size == 0 || starts_payload(*data)) return size > 0 ? data : NULL;
  const uint8_t *nul = memchr(data, 0, size);
  if (nul == NULL || nul + 1 == data + size) return NULL;
  *topic = (obs_str){(const char *)data, (uint32_t)(nul - data), 0};
  return nul + 1;
}

/* Splits the topic off. False when nothing is behind it. */
static bool split_topic(obs_decoder *d) {
  if (d->b->transport == OBS_TRANSPORT_HTTP) return true;
  const uint8_t *payload = obs_batch_payload(d->p, (size_t)(d->end - d->p), &d->b->topic);
  if (payload != NULL) d->p = payload;
  return payload != NULL;
}

void obs_batch_decode(obs_batch *b, obs_batch_format format, const obs_op_limits *limits, int64_t now_ms) {
  obs_decoder d = {.b = b, .limits = limits, .profile = b->profile, .now_ms = now_ms};
  d.base = d.p = b->data;
  d.end = b->data + b->size;
  if (b->size == 0 || b->size > limits->message_bytes) {
    uint32_t kept = b->size > limits->message_bytes ? limits->message_bytes : 0;
    if (kept == 0)
      obs_batch_reject(b, 0, 0, 0, "message: empty");
    else
      obs_batch_reject(b, 0, 0, kept, "message: larger than %u bytes", limits->message_bytes);
    return;
  }
  if (!split_topic(&d)) {
    obs_batch_reject(b, 0, 0, (uint32_t)b->size, "message: no payload after the topic");
    return;
  }
  if (b->session != NULL && obs_str_eq(b->topic, OBS_STR(OBSERVER_SESSION_TOPIC))) b->sessions_only = true;
  b->msgpack = format == OBS_FORMAT_MSGPACK || (format == OBS_FORMAT_ANY && *d.p >= 0x80);
  decode_payload(&d, b->msgpack);
}

bool obs_batch_decode_row(obs_batch *b, const char *line, size_t len, const char **reason) {
  static const obs_op_limits lax = {UINT32_MAX, 1, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
  obs_decoder d = {.b = b, .limits = &lax, .profile = OBS_PROFILE_REPLAY};
  d.base = d.p = (const uint8_t *)line;
  d.end = d.base + len;
  obs_json_space(&d);
  obs_decoder_result rc =
      d.p < d.end && *d.p == '{' ? obs_decoder_begin(&d) : obs_decoder_wrong(&d, OBS_STR("op"), "must be a map");
  if (rc == OBS_DECODE_OK) rc = obs_json_op(&d);
  if (rc == OBS_DECODE_OK) {
    obs_json_space(&d);
    if (d.p == d.end) {
      b->nops = 1;
      return true;
    }
    obs_decoder_broken(&d, "json: unexpected character", d.p);
  }
  obs_batch_reject(b, 0, 0, 0, "%s", d.reason);
  *reason = b->nrejects > 0 ? b->rejects[0].reason : "out of memory";
  return false;
}
