#include "client/encode.h"

#include "base/msgpack_cursor.h"
#include "base/utf8.h"
#include "client/mp.h"

#include <stdlib.h>

/* Each kind of field: whether it is there, how long it is at most, whether it is valid, and how it is written.
 * Everything but a text ignores the length. */
static inline bool has_TEXT(observer_TEXT v) {
  return v != NULL;
}
static inline bool has_INT(observer_INT v) {
  return v.set;
}
static inline bool has_BOOL(observer_BOOL v) {
  return v != OBSERVER_UNSET;
}
static inline bool has_JSON(observer_JSON v) {
  return v.msgpack != NULL;
}

static inline size_t size_TEXT(observer_TEXT v, uint32_t *len) {
  size_t n = strlen(v);
  *len = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
  return n + OBS_MP_HEAD_MAX;
}
static inline size_t size_INT(observer_INT v, uint32_t *len) {
  (void)v;
  (void)len;
  return OBS_MP_HEAD_MAX;
}
static inline size_t size_BOOL(observer_BOOL v, uint32_t *len) {
  (void)v;
  (void)len;
  return 1;
}
static inline size_t size_JSON(observer_JSON v, uint32_t *len) {
  (void)len;
  return v.len;
}

bool obs_client_msgpack_valid(const void *bytes, size_t len, unsigned depth) {
  uint64_t left[OBS_CLIENT_RECORD_DEPTH_MAX + 1]; /* values to come at each level */
  obs_cursor c = obs_cursor_of(bytes, len);
  obs_msgpack_cursor_header h;
  unsigned level = 0;
  left[0] = 1;
  for (;;) {
    while (left[level] == 0) {
      if (level == 0) return c.p == c.end;
      level--;
    }
    left[level]--;
    if (!obs_msgpack_cursor_head(&c, &h)) return false;
    if (h.type == OBS_MSGPACK_STR || h.type == OBS_MSGPACK_EXT) c.p += h.n;
    if (h.type != OBS_MSGPACK_ARRAY && h.type != OBS_MSGPACK_MAP) continue;
    if (level == depth) return false;
    left[++level] = h.type == OBS_MSGPACK_MAP ? 2 * (uint64_t)h.n : h.n;
  }
}

/* Most texts are ASCII, which a loop that the compiler widens sees at once. */
bool obs_client_text_valid(const char *s, size_t len) {
  unsigned char bits = 0;
  if (len > OBS_CLIENT_TEXT_MAX) return false;
  for (size_t i = 0; i < len; i++) bits |= (unsigned char)s[i];
  return bits < 0x80 || obs_utf8_valid(s, len);
}

static inline bool valid_TEXT(observer_TEXT v, uint32_t len) {
  return obs_client_text_valid(v, len);
}
static inline bool valid_INT(observer_INT v, uint32_t len) {
  (void)v;
  (void)len;
  return true;
}
static inline bool valid_DURATION(observer_INT v, uint32_t len) {
  (void)len;
  return v.value >= 0;
}
static inline bool valid_BOOL(observer_BOOL v, uint32_t len) {
  (void)len;
  return v == OBSERVER_TRUE || v == OBSERVER_FALSE;
}
/* Broken bytes would end the whole message for the daemon, and take the other ops of the batch with them. */
static inline bool valid_JSON(observer_JSON v, uint32_t len) {
  (void)len;
  return obs_client_msgpack_valid(v.msgpack, v.len, OBS_CLIENT_DEPTH_MAX);
}

static inline char *put_TEXT(char *p, observer_TEXT v, uint32_t len) {
  return obs_mp_str(p, v, len);
}
static inline char *put_INT(char *p, observer_INT v, uint32_t len) {
  (void)len;
  return obs_mp_int(p, v.value);
}
static inline char *put_BOOL(char *p, observer_BOOL v, uint32_t len) {
  (void)len;
  return obs_mp_bool(p, v == OBSERVER_TRUE);
}
static inline char *put_JSON(char *p, observer_JSON v, uint32_t len) {
  (void)len;
  memcpy(p, v.msgpack, v.len);
  return p + v.len;
}

#define has_TIME has_TEXT
#define size_TIME size_TEXT
#define valid_TIME valid_TEXT
#define put_TIME put_TEXT
#define has_DURATION has_INT
#define size_DURATION size_INT
#define put_DURATION put_INT

void obs_client_op_measure(const observer_op *op, obs_client_measure *m) {
  size_t size = 0;
  uint32_t n = 0;
#define MEASURE(name, kind, required, rule)                                                                            \
  if (has_##kind(op->name)) {                                                                                          \
    size += sizeof(#name) + size_##kind(op->name, &m->len[OBS_CLIENT_FIELD_##name]);                                   \
    n++;                                                                                                               \
  }
  OBSERVER_OP_FIELDS(MEASURE)
#undef MEASURE
  m->size = size;
  m->n = n;
}

bool obs_client_op_valid(const observer_op *op, const obs_client_measure *m) {
  if (m->size > OBS_CLIENT_OP_MAX || op->endpoint == NULL || op->endpoint[0] == '\0') return false;
#define VALID(name, kind, required, rule)                                                                              \
  if (has_##kind(op->name) && !valid_##kind(op->name, m->len[OBS_CLIENT_FIELD_##name])) return false;
  OBSERVER_OP_FIELDS(VALID)
#undef VALID
  return true;
}

/* A key is a constant: its marker and its bytes (all names are shorter than 32). */
#define PUT_KEY(p, name)                                                                                               \
  (memcpy((p) + 1, name, sizeof(name) - 1), *(p) = (char)(0xa0 | (sizeof(name) - 1)), (p) + sizeof(name))

char *obs_client_op_write(char *p, const observer_op *op, const obs_client_measure *m) {
#define PUT(name, kind, required, rule)                                                                                \
  if (has_##kind(op->name)) {                                                                                          \
    p = PUT_KEY(p, #name);                                                                                             \
    p = put_##kind(p, op->name, m->len[OBS_CLIENT_FIELD_##name]);                                                      \
  }
  OBSERVER_OP_FIELDS(PUT)
#undef PUT
  return p;
}

observer_err observer_encode(const observer_op *ops, size_t n, void **bytes, size_t *len) {
  enum { MAP_HEAD = 3 };
  obs_client_measure m;
  size_t size = OBS_MP_ARRAY_HEAD;
  if (bytes != NULL) *bytes = NULL;
  if (len != NULL) *len = 0;
  if (bytes == NULL || len == NULL || (ops == NULL && n > 0)) return OBSERVER_E_INVALID;
  for (size_t i = 0; i < n; i++) {
    obs_client_op_measure(&ops[i], &m);
    size += m.size + MAP_HEAD;
  }
  char *p = malloc(size);
  if (p == NULL) return OBSERVER_E_NOMEM;
  *bytes = p;
  p = obs_mp_array32(p, (uint32_t)n);
  for (size_t i = 0; i < n; i++) {
    obs_client_op_measure(&ops[i], &m);
    p = obs_client_op_write(obs_mp_map(p, m.n), &ops[i], &m);
  }
  *len = (size_t)(p - (char *)*bytes);
  return OBSERVER_E_OK;
}
