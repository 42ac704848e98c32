#include "base/pack.h"

#include "base/utf8.h"

void obs_pack_u64(obs_buf *out, uint64_t v) {
  for (; v >= 0x80; v >>= 7) obs_buf_putc(out, (char)(v | 0x80));
  obs_buf_putc(out, (char)v);
}

void obs_pack_i64(obs_buf *out, int64_t v) {
  obs_pack_u64(out, ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0));
}

void obs_pack_id(obs_buf *out, uint64_t id) {
  obs_buf_append(out, &id, sizeof(id));
}

void obs_pack_str(obs_buf *out, obs_str s) {
  obs_pack_u64(out, s.len);
  obs_buf_append(out, s.p, s.len);
}

static uint64_t wrong(obs_pack_reader *in) {
  in->bad = true;
  return 0;
}

uint64_t obs_pack_read_u64(obs_pack_reader *in, uint64_t max) {
  uint64_t v = 0;
  for (uint32_t shift = 0; shift < 64; shift += 7) {
    if (in->bad || in->p == in->end) return wrong(in);
    uint8_t byte = *in->p++;
    if (shift == 63 && byte > 1) return wrong(in);
    v |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) return v <= max ? v : wrong(in);
  }
  return wrong(in);
}

int64_t obs_pack_read_i64(obs_pack_reader *in, int64_t max) {
  uint64_t v = obs_pack_read_u64(in, UINT64_MAX);
  int64_t n = (int64_t)(v >> 1 ^ ((v & 1) != 0 ? UINT64_MAX : 0));
  if (n >= -max && n <= max) return n;
  in->bad = true;
  return 0;
}

uint64_t obs_pack_read_id(obs_pack_reader *in) {
  uint64_t id;
  if (in->bad || (size_t)(in->end - in->p) < sizeof(id)) return wrong(in);
  memcpy(&id, in->p, sizeof(id));
  in->p += sizeof(id);
  return id;
}

obs_str obs_pack_read_str(obs_pack_reader *in, uint32_t max) {
  uint32_t len = (uint32_t)obs_pack_read_u64(in, max);
  obs_str s = {(const char *)in->p, len, 0};
  if (in->bad || len > (size_t)(in->end - in->p) || !obs_utf8_valid(s.p, len)) {
    in->bad = true;
    return OBS_STR("");
  }
  in->p += len;
  return s;
}
