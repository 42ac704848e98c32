#include "client/mp.h"

static bool take(obs_mp_reader *r, size_t n, const char **out) {
  if ((size_t)(r->end - r->p) < n) return false;
  *out = r->p;
  r->p += n;
  return true;
}

static bool number(obs_mp_reader *r, unsigned bytes, uint64_t *out) {
  const char *p;
  if (!take(r, bytes, &p)) return false;
  *out = 0;
  for (unsigned i = 0; i < bytes; i++) *out = *out << 8 | (unsigned char)p[i];
  return true;
}

/* The markers 0xc0 to 0xdf: what follows is `head` bytes of number or length, then `extra` bytes and the payload. */
typedef struct {
  int8_t type; /* -1: no msgpack */
  uint8_t head, extra;
} form;

static const form forms[32] = {
    {OBS_MP_NIL, 0, 0},  {-1, 0, 0},          {OBS_MP_BOOL, 0, 0}, {OBS_MP_BOOL, 0, 0},  {OBS_MP_BIN, 1, 0},
    {OBS_MP_BIN, 2, 0},  {OBS_MP_BIN, 4, 0},  {OBS_MP_BIN, 1, 1},  {OBS_MP_BIN, 2, 1},   {OBS_MP_BIN, 4, 1},
    {OBS_MP_REAL, 4, 0}, {OBS_MP_REAL, 8, 0}, {OBS_MP_UINT, 1, 0}, {OBS_MP_UINT, 2, 0},  {OBS_MP_UINT, 4, 0},
    {OBS_MP_UINT, 8, 0}, {OBS_MP_INT, 1, 0},  {OBS_MP_INT, 2, 0},  {OBS_MP_INT, 4, 0},   {OBS_MP_INT, 8, 0},
    {OBS_MP_BIN, 0, 2},  {OBS_MP_BIN, 0, 3},  {OBS_MP_BIN, 0, 5},  {OBS_MP_BIN, 0, 9},   {OBS_MP_BIN, 0, 17},
    {OBS_MP_STR, 1, 0},  {OBS_MP_STR, 2, 0},  {OBS_MP_STR, 4, 0},  {OBS_MP_ARRAY, 2, 0}, {OBS_MP_ARRAY, 4, 0},
    {OBS_MP_MAP, 2, 0},  {OBS_MP_MAP, 4, 0},
};

static bool long_form(obs_mp_reader *r, unsigned char marker, obs_mp_item *item) {
  const form *f = &forms[marker - 0xc0];
  uint64_t n = 0;
  if (f->type < 0 || !number(r, f->head, &n)) return false;
  item->type = (obs_mp_type)f->type;
  item->u = item->type == OBS_MP_BOOL ? marker == 0xc3 : n;
  item->n = (uint32_t)n;
  if (item->type == OBS_MP_INT) { /* the sign fills what the number left */
    unsigned shift = 64 - 8 * f->head;
    item->u = (uint64_t)((int64_t)(n << shift) >> shift);
  }
  if (item->type != OBS_MP_STR && item->type != OBS_MP_BIN) return true;
  return take(r, (size_t)n + f->extra, &item->p);
}

bool obs_mp_next(obs_mp_reader *r, obs_mp_item *item) {
  const char *at;
  if (!take(r, 1, &at)) return false;
  unsigned char b = (unsigned char)*at;
  *item = (obs_mp_item){0};
  if (b >= 0xc0 && b < 0xe0) return long_form(r, b, item);
  if (b < 0x80 || b >= 0xe0) {
    item->type = OBS_MP_INT;
    item->u = (uint64_t)(int64_t)(int8_t)b;
  } else if (b >= 0xa0) {
    item->type = OBS_MP_STR;
    item->n = b & 31;
    return take(r, item->n, &item->p);
  } else {
    item->type = b < 0x90 ? OBS_MP_MAP : OBS_MP_ARRAY;
    item->n = b & 15;
  }
  return true;
}

bool obs_mp_skip(obs_mp_reader *r, unsigned depth) {
  obs_mp_item item;
  if (!obs_mp_next(r, &item)) return false;
  if (item.type != OBS_MP_ARRAY && item.type != OBS_MP_MAP) return true;
  if (depth == 0) return false;
  uint64_t n = item.type == OBS_MP_MAP ? (uint64_t)item.n * 2 : item.n;
  for (uint64_t i = 0; i < n; i++) {
    if (!obs_mp_skip(r, depth - 1)) return false;
  }
  return true;
}

bool obs_mp_is_value(const void *bytes, size_t len, unsigned depth) {
  obs_mp_reader r = {bytes, (const char *)bytes + len};
  return obs_mp_skip(&r, depth) && r.p == r.end;
}
